"""What fitting returns: an encoder that knows how well it learnt its task."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyattrx.encoders import Encoder

__all__ = ["FitReport", "FittedEncoder"]


@dataclass(frozen=True)
class FitReport:
    """How well a task was learnt, on images used neither for training nor for stopping it.

    Attributes
    ----------
    task : str
    n_train, n_validation, n_test : int
        Images learnt from, images that decided when to stop, images for the losses below.
    steps, best_step : int
        Steps taken, and the step that was kept.
    loss : float
        Mean loss of the test images: cross-entropy in nats, or squared error in units of the
        variance of the labels of training.
    trivial_loss : float
        That of the best prediction made without looking at the image.
    stderr : float
        Standard error of the difference of the two, over test images.
    accuracy : float or None
        Share of test images (or pixels) classified rightly.
    """

    task: str
    n_train: int
    n_validation: int
    n_test: int
    steps: int
    best_step: int
    loss: float
    trivial_loss: float
    stderr: float
    accuracy: float | None = None

    @property
    def beats_trivial(self) -> bool:
        """Whether the loss is below the trivial one by two standard errors."""
        return self.trivial_loss - self.loss > 2 * self.stderr

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {**asdict(self), "beats_trivial": self.beats_trivial}


class FittedEncoder(Encoder):
    """An `Encoder` with the report of its training as `report`; made by `fit_target`, or loaded."""

    report: FitReport

    def save(self, path: str | Path) -> Path:
        """Write the encoder to one file, which is a specification of it: see `pyattrx.load`.

        Parameters
        ----------
        path : path
            Ends in ``.safetensors``; an existing file is replaced in one step.

        Returns
        -------
        Path

        Raises
        ------
        InvalidValueError, InvalidTypeError
            Another suffix, or a folder that does not exist.
        EncoderError
            The encoder is not of the built-in architecture.
        OSError
            The file cannot be written.

        Examples
        --------
        >>> import pathlib, tempfile, warnings
        >>> import torch, pyattrx
        >>> images = torch.rand(60, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> red = images[:, 0].mean((1, 2))
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     encoder = pyattrx.fit_target(images, red, name="red", steps=2, input_size=16)
        >>> path = encoder.save(pathlib.Path(tempfile.mkdtemp()) / "red.safetensors")
        >>> pyattrx.load(str(path)).report == encoder.report
        True
        """
        from pyattrx.fitting.saving import write_fitted

        written = write_fitted(self, path)
        self.specification = str(written.absolute())
        return written

    def describe(self) -> dict[str, Any]:
        """Say what the network is and how well it learnt, as JSON types."""
        return {**super().describe(), "fit": self.report.to_dict()}
