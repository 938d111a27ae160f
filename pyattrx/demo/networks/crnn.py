"""CRNN: the text in the image of a line.

Shi, Bai and Yao, "An End-to-End Trainable Neural Network for Image-based Sequence Recognition and
Its Application to Scene Text Recognition" (TPAMI 2017): convolutions, two bidirectional LSTMs and
connectionist temporal classification (CTC).
"""

from __future__ import annotations

from itertools import groupby

from torch import Tensor, nn

__all__ = ["CRNN", "greedy_text"]

# Class 0 is the blank of CTC, class i the character i - 1.
CHARACTERS = (
    "0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ €"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
_LUMA = (0.299, 0.587, 0.114)


class BiLSTM(nn.Module):
    """A bidirectional LSTM and the linear layer that merges its directions."""

    def __init__(self, cin: int, hidden: int, cout: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(cin, hidden, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(2 * hidden, cout)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences [N, T, cin] to [N, T, cout]."""
        merged: Tensor = self.linear(self.rnn(x)[0])
        return merged


class CRNN(nn.Module):
    """The recogniser of English text.

    Notes
    -----
    Input: RGB float [N, 3, H, W] in [-1, 1], made grey inside (the weights of luma sum to 1, so
    normalising before is normalising after); trained on lines 64 pixels high. Output: logits
    [N, T, 97] of 97 classes at T = W // 4 - 1 places along the line. `features` gives the last
    feature map, [N, 256, H // 16 - 1, W // 4 - 1].

    Examples
    --------
    >>> import torch
    >>> CRNN().eval()(torch.zeros(1, 3, 64, 100)).shape
    torch.Size([1, 24, 97])
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(128, 128, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d((2, 1)),
            nn.Conv2d(128, 256, 3, padding=1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.MaxPool2d((2, 1)),
            nn.Conv2d(256, 256, 2),
            nn.ReLU(),
        )
        self.sequence = nn.Sequential(BiLSTM(256, 256, 256), BiLSTM(256, 256, 256))
        self.prediction = nn.Linear(256, 1 + len(CHARACTERS))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, T, 97]."""
        grey = _LUMA[0] * x[:, :1] + _LUMA[1] * x[:, 1:2] + _LUMA[2] * x[:, 2:]
        columns = self.features(grey).mean(2).transpose(1, 2)
        logits: Tensor = self.prediction(self.sequence(columns))
        return logits


def greedy_text(logits: Tensor) -> list[str]:
    """Most probable class at every place, repetitions merged, blanks dropped.

    Parameters
    ----------
    logits : Tensor, [N, T, 97]
        What `CRNN` returns.

    Returns
    -------
    list of str
        One text for each line.

    Examples
    --------
    >>> import torch
    >>> classes = torch.tensor([[0, 8, 8, 0, 8, 9]])
    >>> greedy_text(torch.nn.functional.one_hot(classes, 97).float())
    ['778']
    """
    lines = logits.argmax(2).tolist()
    return ["".join(CHARACTERS[c - 1] for c, _ in groupby(line) if c) for line in lines]
