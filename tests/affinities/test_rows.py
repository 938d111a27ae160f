"""Where map rows wait: several terms of one method take no more memory than one."""

import tempfile

import numpy as np
import torch

import pyattrx
from networks import build
from pyattrx._scratch import Scratch
from pyattrx.affinities.rows import Room, RowStore

CPU = torch.device("cpu")


def test_stores_of_one_run_share_the_memory(tmp_path):
    like = torch.zeros(1, 7)  # 140 bytes of five probes
    room = Room(CPU, Scratch(in_memory=300))
    with RowStore(5, CPU, tmp_path, room) as one, RowStore(5, CPU, tmp_path, room) as other:
        places = [one.begin(like), other.begin(like), one.begin(like), other.begin(like)]
        for number, place in enumerate(places):
            place.write(0, torch.full((5, 7), float(number)))
        assert [type(place).__name__ for place in places] == [
            "_Memory",
            "_Memory",
            "_File",
            "_File",
        ]
        assert room.on_host == 20
        for store, kept in ((one, [0.0, 2.0]), (other, [1.0, 3.0])):
            assert store.block(slice(0, 2), np.arange(5))[:, 0, 0].tolist() == kept


def test_rows_may_have_a_share_of_what_the_device_has_left(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))
    assert Room(torch.device("cuda")).on_device == 400


def test_the_maps_of_three_terms_take_what_one_may_take(probes, monkeypatch, tmp_path):
    scratch = Scratch(tmp_path, 6 * 24 * 24 * 4)  # of one network's maps
    method = pyattrx.Combined([("saliency", 1), ("grad_x_input", 1), ("elrp", 1)])
    encoders = [pyattrx.Encoder(build("plain"), name="a")]
    opened = []
    make = tempfile.TemporaryFile
    monkeypatch.setattr(
        tempfile, "TemporaryFile", lambda **to: opened.append(to["dir"]) or make(**to)
    )
    pyattrx.affinity(encoders, probes, "saliency", device="cpu", scratch=scratch)
    assert opened == []
    pyattrx.affinity(encoders, probes, method, device="cpu", scratch=scratch)
    assert opened == [tmp_path, tmp_path]  # of the second and the third term
