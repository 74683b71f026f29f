"""Settings of training; apart from the code they steer, so that a form or a command line need not import torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.data.preprocess import JpegScale
from models.learning.privacy_settings import PrivacySettings
from models.learning.pseudo_settings import PseudoSettings
from models.settings import FileName, Settings

Imbalance = Literal[
    "auto",
    "natural",
    "sqrt",
    "balanced",
    "progressive",
    "effective_number",
    "focal",
    "balanced_softmax",
    "ldam_drw",
    "crt",
    "tau_norm",
]
CalibrationMethod = Literal["auto", "none", "temperature", "vector"]
Learner = Literal["frozen", "fine_tune", "scratch"]


class HeadSettings(Settings):
    """How the head on frozen features is trained."""

    members: int = Field(default=5, ge=1, le=32, description="Networks that are averaged.", title="Members")
    hidden_width: int = Field(
        default=128, ge=0, le=4096, description="Hidden units a network; 0: a linear head.", title="Hidden width"
    )
    steps: int = Field(default=800, ge=1, le=100_000, description="Steps of training.", title="Steps")
    batch_rows: int = Field(default=128, ge=8, le=4096, description="Rows a step.", title="Batch")
    learning_rate: float = Field(
        default=3e-3, gt=0, le=1, description="Highest rate of the one-cycle schedule.", title="Learning rate"
    )
    input_dropout: float = Field(
        default=0.2, ge=0, lt=1, description="Share of features hidden.", title="Input dropout"
    )
    hidden_dropout: float = Field(
        default=0.5, ge=0, lt=1, description="Share of hidden units dropped.", title="Hidden dropout"
    )
    weight_decays: tuple[float, ...] = Field(
        default=(0.03, 0.3, 3.0),
        min_length=1,
        description="Strengths of regularisation that are tried; the tune split chooses.",
        title="Weight decays",
    )


class AugmentSettings(Settings):
    """How pictures are varied while a network learns from them."""

    symmetries: Literal["none", "mirror", "flips", "dihedral"] = Field(
        default="mirror",
        description="What may be done to a picture without changing its class: nothing, mirrored left and right, "
        "flipped both ways, or the eight symmetries of a square.",
        title="Symmetries",
    )
    policy: Literal["none", "light", "trivial", "rand", "augmix"] = Field(
        default="light",
        description="light: small shifts, scales and changes of light; trivial: one random change of any strength "
        "(TrivialAugment); rand: two changes of one strength (RandAugment); augmix: three chains of small changes, "
        "laid over the picture (AugMix, without its second loss).",
        title="Policy",
    )
    strength: float = Field(
        default=0.5, ge=0, le=1, description="Of light, rand and augmix: how far a change goes.", title="Strength"
    )
    mixup_alpha: float = Field(
        default=0, ge=0, le=10, description="Pictures laid over each other (mixup); 0: never.", title="Mixup"
    )
    cutmix_alpha: float = Field(
        default=0, ge=0, le=10, description="A part of one put into another (cutmix); 0: never.", title="Cutmix"
    )


class FitSettings(Settings):
    """How a network's weights are trained, from scratch or from pretrained ones."""

    epochs: int = Field(default=20, ge=1, le=10_000, description="Passes over the pictures.", title="Epochs")
    batch_rows: int = Field(default=0, ge=0, le=4096, description="Pictures a step; 0: by their number.", title="Batch")
    learning_rate: float = Field(
        default=0,
        ge=0,
        le=1,
        description="Highest rate of the cosine schedule; 0: found by a short range test.",
        title="Learning rate",
    )
    warmup_share: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the steps in which the rate rises.", title="Warm-up"
    )
    weight_decay: float = Field(default=0.05, ge=0, le=10, description="AdamW's weight decay.", title="Weight decay")
    label_smoothing: float = Field(
        default=0, ge=0, lt=1, description="Share of the target given to all classes.", title="Label smoothing"
    )
    dropout: float = Field(default=0, ge=0, lt=1, description="Share of the embedding dropped.", title="Dropout")
    ema_decay: float = Field(
        default=0,
        ge=0,
        lt=1,
        description="Weights are averaged over steps with this decay; 0: the last ones are taken.",
        title="Average of weights",
    )
    patience: int = Field(
        default=8, ge=1, le=10_000, description="Epochs without a better tune score before it stops.", title="Patience"
    )
    layer_rate_decay: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="For fine_tune: each stage learns so much slower than the one above.",
        title="Decay of rates",
    )
    frozen_stages: int = Field(
        default=-1,
        ge=-1,
        le=100,
        description="For fine_tune: lower stages that stay as they are, and are computed once where the network "
        "allows it; -1: three.",
        title="Frozen stages",
    )
    adversarial_eps: float = Field(
        default=0,
        ge=0,
        le=64,
        description="Train on pictures changed against the network, by so much of 255 a pixel at most, such as 8 "
        "(fast adversarial training); 0: off. Doubles the time, and costs accuracy on pictures as they are.",
        title="Adversarial change",
    )
    mixed_precision: Literal["auto", "off"] = Field(
        default="auto", description="Shorter numbers where they were measured to be faster.", title="Mixed precision"
    )
    compiled: bool = Field(default=False, description="Compile the network first (torch.compile).", title="Compiled")
    processes: int = Field(
        default=1, ge=0, le=64, description="Processes that train side by side; 0: one a GPU.", title="Processes"
    )
    checkpoint_seconds: float = Field(
        default=60,
        ge=0,
        le=86_400,
        description="Longest time between two saved states of a training; 0: every step.",
        title="Checkpoints",
    )


class SearchSettings(Settings):
    """A search for better settings of training, inside its time budget."""

    trials: int = Field(default=0, ge=0, le=1000, description="Trainings that are tried; 0: no search.", title="Trials")
    budget_share: float = Field(
        default=0.5, gt=0, lt=1, description="Of the time budget, the share that the search may take.", title="Share"
    )


class TrainingSettings(Settings):
    """What is trained, towards which number."""

    network: str = Field(
        default="efficientnet_lite0",
        description="efficientnet_lite0, convnet, renet, row_lstm, torchvision/NAME or timm/NAME.",
        title="Network",
    )
    weights: FileName = Field(
        default="",
        description="What training starts from: empty: what the network comes with; none; hub: what its library "
        "downloads; or a safetensors file.",
        title="Weights",
    )
    size_px: int = Field(
        default=0, ge=0, le=2048, description="Side of the network's input; 0: what it is made for.", title="Input size"
    )
    jpeg_scale: JpegScale = Field(
        default="full",
        title="JPEG scale",
        description="full: JPEGs are decoded at their own size; at_least_3x, at_least_2x: at the smallest of libjpeg's "
        "scales that still has so many times the network's input, which is faster for large photographs, in training "
        "and scoring alike.",
    )
    channels: Literal[1, 3] = Field(default=3, description="1: networks see luminance only.", title="Channels")
    learner: Literal["auto", "frozen", "fine_tune", "scratch"] = Field(
        default="auto",
        description="frozen: pretrained features and a head; fine_tune: a head first, then the network too; scratch: "
        "all from random weights; auto: what data, machine and time allow.",
        title="Learner",
    )
    time_budget_minutes: float = Field(
        default=10,
        gt=0,
        le=100_000,
        description="Time that training may take; the best weights so far are kept when it ends.",
        title="Time budget",
    )
    objective: Literal["macro_f1", "balanced_accuracy", "accuracy"] = Field(
        default="macro_f1", description="What everything is chosen for, on the tune split.", title="Objective"
    )
    imbalance: Imbalance = Field(
        default="auto",
        description="auto: learn classes as often as they come, and take their prior back as far as the tune split "
        "says; or one method: natural, sqrt, balanced, progressive, effective_number, focal, balanced_softmax, "
        "ldam_drw, crt, tau_norm.",
        title="Imbalance",
    )
    calibration: CalibrationMethod = Field(
        default="auto",
        description="What makes scores shares of right answers, fitted on the tune split: one temperature; vector: a "
        "scale and a bias a class too; auto: vector where held-out parts of tune show that it pays.",
        title="Calibration",
    )
    refit_on_tune: bool = Field(
        default=True,
        description="After choosing on the tune split, learn once more from train and tune, where the time allows it.",
        title="Refit",
    )
    seed: int = Field(default=0, ge=0, description="Of weights, draws and dropout.", title="Seed")
    head: HeadSettings = Field(default=HeadSettings(), description="For frozen networks.", title="Head")
    augment: AugmentSettings = Field(default=AugmentSettings(), description="Variation.", title="Augmentation")
    fit: FitSettings = Field(default=FitSettings(), description="For networks that are trained.", title="Fit")
    search: SearchSettings = Field(default=SearchSettings(), description="Search.", title="Search")
    privacy: PrivacySettings = Field(default=PrivacySettings(), description="Private training.", title="Privacy")
    pseudo: PseudoSettings = Field(
        default=PseudoSettings(), description="Pictures without labels.", title="Unlabelled pictures"
    )
