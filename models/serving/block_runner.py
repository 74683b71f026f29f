"""Pictures of many threads in blocks of one size, for what computes many at once as fast as one.

A ring of blocks: threads fill one with uint8 pixels while another is computed. A block goes off when it is full, or
when nobody adds to it for a moment; its shape is always the same, so that nothing is compiled or allocated anew. An
answer may depend on its place in the block in its last bits, which is why a CPU computes one picture a call.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Found = dict[str, NDArray[Any]]
# What computes a block, (N, H, W, 3) uint8: arrays by output name, N rows each.
RunBlock = Callable[[NDArray[np.uint8]], Found]
_BLOCKS = 3
_PATIENCE_S = 0.003


class _Block:
    """Pixels of one block, and what became of each of its pictures."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels
        self.begin()

    def begin(self) -> None:
        """Empties it; answers of its last use stay with those who wait for them."""
        self.count = 0
        self.answers: list[Found | Exception] = []
        self.is_done = threading.Event()


class BlockRunner:
    """Answers to single pictures, computed in blocks; `answer` is called from many threads."""

    def __init__(self, run_block: RunBlock, shape: tuple[int, int, int, int]) -> None:
        self._run_block = run_block
        self._changed = threading.Condition()
        self._free = deque(_Block(np.zeros(shape, dtype=np.uint8)) for _ in range(_BLOCKS))
        self._full: deque[_Block] = deque()
        self._is_over = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def answer(self, pixels: NDArray[np.uint8]) -> Found:
        """Outputs for one picture, (H, W, 3) uint8: arrays by name, without the batch axis."""
        with self._changed:
            while not self._free:
                self._changed.wait()
            block = self._free[0]
            place, is_done, answers = block.count, block.is_done, block.answers
            block.pixels[place] = pixels
            block.count += 1
            if block.count == len(block.pixels):
                self._full.append(self._free.popleft())
            self._changed.notify_all()
        is_done.wait()
        found = answers[place]
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        """Ends the thread that computes; nobody may wait for an answer any more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while (block := self._next()) is not None:
            block.answers += self._computed(block)
            done = block.is_done
            with self._changed:
                block.begin()
                self._free.append(block)
                self._changed.notify_all()
            done.set()

    def _next(self) -> _Block | None:
        """A full block, or one that nobody added to for a moment; None at the end."""
        with self._changed:
            while not self._is_over:
                if self._full:
                    return self._full.popleft()
                begun = self._free[0].count if self._free else 0
                if not self._changed.wait(_PATIENCE_S if begun else None) and begun == self._free[0].count:
                    return self._free.popleft()
            return None

    def _computed(self, block: _Block) -> list[Found | Exception]:
        """One answer a picture; where the block as a whole fails, each picture alone, so that one costs one."""
        try:
            found = self._run_block(block.pixels)
        # onnxruntime's exceptions share no base class below Exception.
        except Exception:
            return [self._alone(block.pixels, place) for place in range(block.count)]
        return [{name: array[place] for name, array in found.items()} for place in range(block.count)]

    def _alone(self, pixels: NDArray[np.uint8], place: int) -> Found | Exception:
        only = np.zeros_like(pixels)
        only[0] = pixels[place]
        try:
            return {name: array[0] for name, array in self._run_block(only).items()}
        except Exception as error:
            return error
