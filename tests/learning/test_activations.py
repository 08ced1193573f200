"""Activations of fewer operations are those that they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.activations import ACT2FN

from w2sweep.learning.activations import GeluByTanh, use_fewer_operations
from w2sweep.learning.caches import FEWEST, NUMBERS, WITHOUT_PADDING, tokens_at_once
from w2sweep.learning.model import Net


@pytest.mark.parametrize("name", ["gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh"])
def test_it_is_what_transformers_writes_out_forward_and_backward(name: str):
    x = torch.cat([torch.randn(500), torch.tensor([0.0, -60.0, 60.0, 1e-30])])
    found, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
    model = nn.Sequential(ACT2FN[name])
    said = model(expected)
    use_fewer_operations(model)
    assert isinstance(model[0], GeluByTanh)
    assert_close(model(found), said, atol=1e-6, rtol=1e-5)
    model(found).backward(torch.arange(504.0))
    said.backward(torch.arange(504.0))
    assert_close(found.grad, expected.grad, atol=5e-4, rtol=1e-5)  # of gradients up to 500


def test_its_gradient_is_the_slope():
    """Of numbers in fp64, by differences; and in bf16 it is torch's own."""
    from w2sweep.learning.activations import _ByPower

    x = torch.linspace(-4, 4, 40, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(_ByPower.apply, x)
    half = torch.linspace(-4, 4, 40, dtype=torch.bfloat16)
    assert torch.equal(GeluByTanh()(half), nn.functional.gelu(half, approximate="tanh"))


def test_only_activations_of_this_kind_are_replaced():
    config = GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2, activation_function="relu")
    lm = GPT2LMHeadModel(config)
    use_fewer_operations(lm)
    assert not any(isinstance(module, GeluByTanh) for module in lm.modules())


def test_on_cpus_as_much_is_computed_at_once_as_caches_hold(monkeypatch: pytest.MonkeyPatch):
    cpu, cuda, probe = torch.device("cpu"), torch.device("cuda"), nn.Linear(2, 2)
    net = Net.__new__(Net)
    nn.Module.__init__(net)
    written_out = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_embd=4, n_layer=1, n_head=1))
    for net.lm, numbers in ((probe, NUMBERS), (written_out, WITHOUT_PADDING)):  # type: ignore[assignment]
        for width, expected in ((64, numbers // 64), (4096, FEWEST), (4, 16384)):
            monkeypatch.setattr(Net, "width", width)
            assert tokens_at_once(16384, net, cpu) == expected
            assert tokens_at_once(16384, net, cuda) == 16384
            assert tokens_at_once(100, net, cpu) == 100
    assert tokens_at_once(16384, probe, cpu) == 16384
