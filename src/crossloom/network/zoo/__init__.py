"""Network zoo: our own definitions of well-known networks with random weights, for cost estimates, benchmarks and tests.

`build("resnet18")` returns the module and an example input. The definitions follow the papers named in their files.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module

import torch
from torch import Tensor, nn

from crossloom.errors import ModelError
from crossloom.plugins import plugins

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
    factory: Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]
    others = plugins("networks")
    if name in _WHERE:
        module, _, function = _WHERE[name].partition(":")
        factory = getattr(import_module(module), function)
    elif name in others:
        factory = others[name].load()
    else:
        raise ModelError(f"zoo:{name}: no such network; choose one of {', '.join((*NAMES, *others))}")
    with torch.random.fork_rng(devices=[]), nullcontext() if weights else torch.device("meta"):
        torch.manual_seed(seed)
        network, example = factory()
    return network.eval(), example
