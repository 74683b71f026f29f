"""Every error Sortline raises on purpose, in one tree, each with the exit code of the command line."""

from __future__ import annotations


class SortlineError(Exception):
    """A refusal that names what was found, what was expected and what to do.

    Attributes:
        exit_code: what `sortline` returns to the shell.
    """

    exit_code = 1

    def __init__(self, found: str, expected: str, do: str) -> None:
        super().__init__(f"{found}. Expected {expected}. {do}")


class SettingsError(SortlineError):
    """A command, path or setting that cannot be meant as it was typed."""

    exit_code = 2


class DataError(SortlineError):
    """Pictures or tables that cannot be worked with."""


class EmptyFolder(DataError):
    """No picture where at least one was expected."""


class UnreadableImage(DataError):
    """One picture that does not decode; `status` and `reason` are the words of the predictions table."""

    def __init__(self, status: str, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(
            f"picture is {status}: {reason}", "a complete picture in an allowed format", "Replace the file."
        )


class ContractBroken(DataError):
    """A table whose columns, types or counts are not what its schema promises."""


class ShapeError(DataError):
    """Arrays whose lengths or shapes do not fit together."""


class ArtifactError(SortlineError):
    """A sealed file that is gone or is not what was sealed."""

    exit_code = 74


class ArtifactMissing(ArtifactError):
    """A sealed file that no longer exists."""


class ArtifactChanged(ArtifactError):
    """A sealed file whose bytes differ from its digest."""


class UnsafeModel(ArtifactError):
    """A model file that holds, or does as it runs, what no picture classifier needs."""


class SignatureRefused(ArtifactError):
    """A bundle whose signature is absent, not of a trusted key, or not of its bytes."""


class StorageError(SortlineError):
    """A disk or folder that cannot be read or written."""

    exit_code = 74


class MachineError(SortlineError):
    """Something that this machine should do and does not."""

    exit_code = 74


class OutputBusy(SortlineError):
    """Another run holds the output."""

    exit_code = 75


class GateFailed(SortlineError):
    """Data or a model that was judged and refused."""


class ExportMismatch(SortlineError):
    """An exported model that does not answer as the trained one does."""


class TrainingStopped(SortlineError):
    """A training that was asked to stop, after it saved its state."""

    exit_code = 143


class ScoringStopped(SortlineError):
    """A scoring run that was asked to stop, with its finished parts on disk."""

    exit_code = 143


class TooManyBadFiles(DataError):
    """A folder with more files that cannot be scored than its user allows; all of them have their row."""


class TrainingDiverged(SortlineError):
    """A training whose loss left the numbers, at every rate that was tried."""
