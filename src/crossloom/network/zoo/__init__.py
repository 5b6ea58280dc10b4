"""Network zoo: our own definitions of well-known networks with random weights, for cost estimates, benchmarks and tests.

`build("resnet18")` returns the module and an example input. The definitions follow the papers named in their files.
"""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module

import torch
from torch import Tensor, nn

from crossloom.errors import ModelError, one_line
from crossloom.plugins import Plugin, plugins

Built = tuple[nn.Module, tuple[Tensor, ...]]

_WHERE = {
    "digits": "crossloom.network.zoo.digits:digits_cnn",
    "digits-vit": "crossloom.network.zoo.digits_vit:digits_vit",
    "char-lm": "crossloom.network.zoo.char_lm:char_lm",
    "alexnet": "crossloom.network.zoo.alexnet:alexnet",
    "alexnet-cifar": "crossloom.network.zoo.alexnet:alexnet_cifar",
    "vgg8": "crossloom.network.zoo.vgg:vgg8",
    "vgg9-cifar": "crossloom.network.zoo.vgg:vgg9_cifar",
    "vgg11-cifar": "crossloom.network.zoo.vgg:vgg11_cifar",
    "vgg11": "crossloom.network.zoo.vgg:vgg11",
    "vgg13": "crossloom.network.zoo.vgg:vgg13",
    "vgg16": "crossloom.network.zoo.vgg:vgg16",
    "vgg16-cifar": "crossloom.network.zoo.vgg:vgg16_cifar",
    "vgg19": "crossloom.network.zoo.vgg:vgg19",
    "resnet18": "crossloom.network.zoo.resnet:resnet18",
    "resnet18-cifar": "crossloom.network.zoo.resnet:resnet18_cifar",
    "resnet34": "crossloom.network.zoo.resnet:resnet34",
    "resnet50": "crossloom.network.zoo.resnet:resnet50",
    "resnet101": "crossloom.network.zoo.resnet:resnet101",
    "resnet152": "crossloom.network.zoo.resnet:resnet152",
    "googlenet": "crossloom.network.zoo.inception:googlenet",
    "inception-v3": "crossloom.network.zoo.inception:inception_v3",
    "msra-a": "crossloom.network.zoo.msra:msra_a",
    "msra-b": "crossloom.network.zoo.msra:msra_b",
    "msra-c": "crossloom.network.zoo.msra:msra_c",
    "deepface": "crossloom.network.zoo.deepface:deepface",
    "mobilenet-v2": "crossloom.network.zoo.mobilenet:mobilenet_v2",
    "neuraltalk": "crossloom.network.zoo.neuraltalk:neuraltalk",
    "bert-base": "crossloom.network.zoo.bert:bert_base",
    "bert-base-256": "crossloom.network.zoo.bert:bert_base_256",
    "bert-base-512": "crossloom.network.zoo.bert:bert_base_512",
    "transformer-base": "crossloom.network.zoo.transformer:transformer_base",
    "transformer-big": "crossloom.network.zoo.transformer:transformer_big",
    "vit-base": "crossloom.network.zoo.vit:vit_base",
    "gpt2": "crossloom.network.zoo.gpt2:gpt2",
    "gpt2-1024": "crossloom.network.zoo.gpt2:gpt2_1024",
    "gpt2-step": "crossloom.network.zoo.gpt2:gpt2_step",
    "gpt2-step-1024": "crossloom.network.zoo.gpt2:gpt2_step_1024",
}

NAMES = tuple(_WHERE)


def build(name: str, seed: int = 0, *, weights: bool = True) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a zoo network in evaluation mode, with weights drawn from `seed`, and example inputs for one sample.

    Without `weights`, tensors have only shapes, which is fast and sufficient for latency and cost.
    Raises ModelError for a name that is neither in `NAMES` nor provided by an installed package.
    """
    others = plugins("networks")
    if name not in _WHERE and name not in others:
        raise ModelError(f"zoo:{name}: no such network; choose one of {', '.join((*NAMES, *others))}")
    with torch.random.fork_rng(devices=[]), nullcontext() if weights else torch.device("meta"):
        torch.manual_seed(seed)
        network, example = _own(name) if name in _WHERE else _made(others[name])
    return network.eval(), example


def _own(name: str) -> Built:
    """Return a network of ours."""
    module, _, function = _WHERE[name].partition(":")
    found: Built = getattr(import_module(module), function)()
    return found


def _made(plugin: Plugin) -> Built:
    """Return the network of another package. Raises ModelError if its function fails, or returns something else."""
    wanted = f"zoo:{plugin.name}: {plugin.where} of {plugin.package}"
    factory = plugin.load()
    try:
        found = factory()
    except Exception as problem:
        raise ModelError(f"{wanted} raised {type(problem).__name__} ({one_line(problem)}); call it separately first") from problem
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], nn.Module)):
        raise ModelError(f"{wanted} must return a torch module and a tuple of example inputs, got {type(found).__name__}")
    return found
