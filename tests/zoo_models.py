"""Architectures that other people wrote, at random weights: what an importer has to swallow.

Each is built from its own package's definition, shrunk where its configuration allows (depth, width, image size), never
simplified. Nothing is downloaded. The packages are optional: a specimen of one that is absent raises ImportError when built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# torchvision's registry wheel is built for CUDA and does not import beside torch's CPU build unless somebody declares the
# two operators that its compiled part would. The library object has to stay alive.
_SHIM = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, _name):
        _SHIM.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

Sampler = Callable[[int], Tensor]
Entry = tuple[str, "Specimen"]


@dataclass(frozen=True)
class Specimen:
    """A network and how to make a batch of inputs for it."""

    build: Callable[[], nn.Module]
    sample: Sampler


def images(side: int) -> Sampler:
    """Return a sampler of random colour images."""
    return lambda batch: torch.randn(batch, 3, side, side)


def signals(*shape: int) -> Sampler:
    """Return a sampler of random numbers."""
    return lambda batch: torch.randn(batch, *shape)


def tokens(length: int = 12, vocabulary: int = 99) -> Sampler:
    """Return a sampler of random token sequences; 0 to 4 are left out, for models give them meanings of their own."""
    return lambda batch: torch.randint(5, vocabulary, (batch, length))


def unsettle(module: nn.Module) -> nn.Module:
    """Give constant parameters and statistics random values near what they were, so that none of them can hide.

    Definitions start residual branches at a scale of zero or a millionth, biases at zero and norms at one; a branch that
    is lowered wrongly would go unseen.
    """
    running = (b for name, b in module.named_buffers() if name.endswith(("running_mean", "running_var")))
    with torch.no_grad():
        for tensor in (*module.parameters(), *running):
            if not tensor.is_floating_point() or not tensor.numel() or bool((tensor != tensor.flatten()[0]).any()):
                continue
            start = float(tensor.flatten()[0])
            if abs(start) > 1e-3:
                tensor.uniform_(0.8, 1.2).mul_(start)
            else:
                tensor.uniform_(-0.1, 0.1).add_(0.2 if start else 0.0)
    return module.eval()


def _torchvision() -> Iterator[Entry]:
    def model(name: str, side: int = 64, **options: Any) -> Entry:
        def build() -> nn.Module:
            from torchvision import models

            return models.get_model(name, weights=None, **options)

        return name, Specimen(build, images(side))

    def maxvit() -> nn.Module:
        from torchvision.models.maxvit import MaxVit

        sizes = {"block_channels": [16, 32], "block_layers": [1, 1], "head_dim": 16, "partition_size": 2}
        return MaxVit(input_size=(64, 64), stem_channels=16, stochastic_depth_prob=0.1, num_classes=10, **sizes)

    yield from map(model, ("alexnet", "vgg11_bn", "vgg16", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "densenet121"))
    yield from map(model, ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "efficientnet_v2_s"))
    yield from map(model, ("shufflenet_v2_x1_0", "squeezenet1_0", "squeezenet1_1", "mnasnet1_0", "regnet_y_400mf", "regnet_x_400mf"))
    yield from map(model, ("convnext_tiny", "swin_t", "swin_v2_t"))
    yield model("googlenet", init_weights=False)
    yield model("inception_v3", side=96, init_weights=False)
    yield model("vit_b_16", image_size=64)
    yield "maxvit", Specimen(maxvit, images(64))
    for name in ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"):
        yield model(name, weights_backbone=None, num_classes=5)


def _timm() -> Iterator[Entry]:
    def model(name: str, side: int = 64, **options: Any) -> Entry:
        def build() -> nn.Module:
            import timm

            return timm.create_model(name, pretrained=False, **options)

        return f"timm_{name}", Specimen(build, images(side))

    yield from map(model, ("resnet18", "resnet26d", "seresnext26d_32x4d", "mobilenetv3_small_100", "mobilenetv4_conv_small"))
    yield from map(model, ("efficientnet_lite0", "tf_efficientnet_b0", "convmixer_768_32", "poolformer_s12", "ghostnet_100", "repvgg_a0"))
    yield from map(model, ("res2net50_26w_4s", "resnest14d", "pvt_v2_b0", "edgenext_xx_small", "mobilevit_xxs", "mobilevitv2_050"))
    yield from map(model, ("hrnet_w18_small", "convnextv2_atto", "fastvit_t8", "dpn68", "dla34", "cspresnet50", "xception41", "nfnet_l0"))
    yield from map(model, ("skresnet18", "ecaresnet26t", "gcresnet33ts", "regnetz_b16", "repvit_m0_9", "starnet_s1", "mnasnet_small"))
    yield from map(model, ("rexnet_100", "vovnet39a", "hardcorenas_a", "lcnet_050", "tinynet_e", "focalnet_tiny_srf", "davit_tiny"))
    for name in ("deit_tiny_patch16_224", "vit_tiny_patch16_224", "beit_base_patch16_224"):
        yield model(name, img_size=64, depth=2)
    yield model("eva02_tiny_patch14_224", side=56, img_size=56, depth=2)
    for name in ("mixer_s16_224", "resmlp_12_224", "gmlp_ti16_224", "coat_tiny", "coatnet_nano_rw_224", "pit_ti_224"):
        yield model(name, img_size=64)
    for name in ("twins_pcpvt_small", "convit_tiny", "visformer_tiny", "hiera_tiny_224"):
        yield model(name, img_size=64)
    for name in ("cait_xxs24_224", "xcit_nano_12_p16_224", "tnt_s_legacy_patch16_224"):
        yield model(name, img_size=64, depth=2)
    for name in ("swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"):
        yield model(name, img_size=64, window_size=4, depths=(2, 2))
    yield model("gcvit_xxtiny", img_size=64, window_size=(2, 2, 4, 2))
    yield model("inception_v4", side=128)
    for name, side in {
        "levit_128s": 224,
        "efficientformer_l1": 224,
        "crossvit_tiny_240": 240,
        "bat_resnext26ts": 256,
        "halonet26t": 256,
    }.items():
        yield model(name, side)


def _configured(kind: str, sample: Sampler, options: Mapping[str, Any], head: str = "Model", part: str = "", **more: Any) -> Entry:
    """Return a specimen of the transformers package, made from its configuration alone; `part` picks, say, the encoder."""

    def build() -> nn.Module:
        import transformers

        configuration = getattr(transformers, f"{kind}Config")(**options, **more)
        if hasattr(configuration, "use_cache"):
            configuration.use_cache = False
        whole = getattr(transformers, f"{kind}{head}")(configuration)
        return getattr(whole, part) if part else whole

    name = f"hf_{kind}{'' if head == 'Model' else head}{'_' + part if part else ''}"
    return name + ("_eager" if more.get("attn_implementation") == "eager" else ""), Specimen(build, sample)


_SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
_TEXT = {"vocab_size": 99, "max_position_embeddings": 64, **_LAYERS, **_SPECIAL}
_GROUPED = {**_TEXT, "num_key_value_heads": 2, "head_dim": 8}
_GPT2 = {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, **_SPECIAL}
_BLOOM = {"vocab_size": 99, "hidden_size": 32, "n_layer": 2, "n_head": 4, **_SPECIAL}
_T5 = {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
_HEADS = {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
_BART = {
    "vocab_size": 99,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "max_position_embeddings": 64,
    **_HEADS,
    **_SPECIAL,
}
_WHISPER = {**_BART, "num_mel_bins": 16, "max_source_positions": 20, "max_target_positions": 20, "decoder_start_token_id": 1}
_WAVES = {"conv_dim": (16, 16, 16), "conv_stride": (5, 2, 2), "conv_kernel": (10, 3, 3), "num_feat_extract_layers": 3}
_AUDIO = {**_TEXT, **_WAVES, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
_VISION = {"image_size": 32, "patch_size": 8, **_LAYERS}
_SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
_STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
_PYRAMID = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32], "num_attention_heads": [1, 2, 3, 4]}
_LEVIT = {"hidden_sizes": [16, 24, 32], "num_attention_heads": [2, 3, 4], "depths": [1, 1, 1], "key_dim": [4, 4, 4]}
_DPT = {"is_hybrid": False, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 16}


def _encoders() -> Iterator[Entry]:
    text = tokens()
    for kind in ("Bert", "Roberta", "Electra", "Camembert", "XLMRoberta", "Ernie", "ConvBert", "MPNet"):
        yield _configured(kind, text, _TEXT)
    yield _configured("Bert", text, _TEXT, attn_implementation="eager")
    yield _configured("Bert", text, _TEXT, "ForSequenceClassification")
    yield _configured("Roberta", text, _TEXT, "ForMaskedLM")
    distilled = {"vocab_size": 99, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64}
    yield _configured("DistilBert", text, distilled)
    yield _configured("Albert", text, _TEXT, embedding_size=16)
    yield _configured("MobileBert", text, _TEXT, embedding_size=16, intra_bottleneck_size=16, true_hidden_size=16)
    yield _configured("SqueezeBert", text, _TEXT, embedding_size=32)
    relative = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
    yield _configured("Deberta", text, _TEXT, **relative)
    yield _configured("DebertaV2", text, _TEXT, **relative, position_buckets=8, norm_rel_ebd="layer_norm")
    funnel = {"vocab_size": 99, "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 48, "block_sizes": [1, 1]}
    yield _configured("Funnel", text, funnel, "BaseModel")
    yield _configured("ModernBert", text, _TEXT, local_attention=8)
    for kind in ("T5", "MT5", "UMT5"):
        yield _configured(kind, text, _T5, "EncoderModel")
    yield _configured("Bart", text, _BART, part="encoder")
    yield _configured("Pegasus", text, _BART, part="encoder")
    yield _configured("Bart", text, _BART)


def _decoders() -> Iterator[Entry]:
    text = tokens()
    yield _configured("GPT2", text, _GPT2)
    yield _configured("GPT2", text, _GPT2, attn_implementation="eager")
    yield _configured("GPT2", text, _GPT2, "LMHeadModel")
    yield _configured("GPT2", text, _GPT2, "ForSequenceClassification")
    neo = {"attention_types": [[["global", "local"], 1]], "window_size": 4, "num_layers": 2, "num_heads": 4}
    yield _configured("GPTNeo", text, {"vocab_size": 99, "hidden_size": 32, "max_position_embeddings": 64, **_SPECIAL, **neo})
    yield _configured("GPTJ", text, _GPT2, rotary_dim=4)
    yield _configured("CodeGen", text, _GPT2, n_ctx=64, rotary_dim=4)
    yield _configured("GPTBigCode", text, _GPT2)
    for kind in ("GPTNeoX", "Phi", "Persimmon", "BioGpt", "OPT"):
        yield _configured(kind, text, _TEXT)
    yield _configured("Bloom", text, _BLOOM)
    yield _configured("Falcon", text, {**_TEXT, "alibi": False})
    yield _configured("Mpt", text, {"vocab_size": 99, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64})
    for kind in ("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Gemma2", "Phi3", "Cohere", "StableLm", "Starcoder2"):
        yield _configured(kind, text, _GROUPED)
    for kind in ("Olmo2", "Granite", "SmolLM3", "Glm"):
        yield _configured(kind, text, _GROUPED)
    yield _configured("Llama", text, _GROUPED, "ForCausalLM")
    yield _configured("Llama", text, _GROUPED, attn_implementation="eager")
    yield _configured("Mamba", text, {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, **_SPECIAL})
    yield _configured("Rwkv", text, {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "context_length": 16})


def _seeing() -> Iterator[Entry]:
    picture, larger = images(32), images(64)
    for kind in (
        "ViT",
        "DeiT",
        "Beit",
        "ViTMSN",
        "Dinov2",
        "Dinov2WithRegisters",
        "IJepa",
        "SiglipVision",
        "CLIPVision",
        "Data2VecVision",
    ):
        yield _configured(kind, picture, _VISION)
    yield _configured("ViT", picture, _VISION, "ForImageClassification")
    yield _configured("Yolos", picture, {**_VISION, "image_size": [32, 32]})
    yield _configured("Swin", picture, _SWIN)
    yield _configured("Swinv2", picture, _SWIN)
    yield _configured("ConvNext", picture, _STAGES)
    yield _configured("ConvNextV2", picture, _STAGES)
    yield _configured("ResNet", picture, {"embedding_size": 8, **_STAGES}, "ForImageClassification")
    yield _configured("RegNet", picture, {"embedding_size": 8, "groups_width": 8, **_STAGES})
    necks = {"hidden_sizes": [24, 32, 40], "neck_hidden_sizes": [8, 8, 16, 24, 32, 40, 48]}
    yield _configured("MobileViT", picture, {"image_size": 32, "num_attention_heads": 4, **necks})
    for kind in ("MobileNetV1", "MobileNetV2"):
        yield _configured(kind, picture, {"image_size": 32})
    yield _configured("EfficientNet", picture, {"image_size": 32, "width_coefficient": 0.5, "depth_coefficient": 1.0, "hidden_dim": 640})
    yield _configured("Segformer", larger, {**_PYRAMID, "decoder_hidden_size": 16}, "ForSemanticSegmentation")
    yield _configured("PoolFormer", picture, _STAGES)
    yield _configured("Levit", larger, {"image_size": 64, **_LEVIT})
    yield _configured("Pvt", larger, {"image_size": 64, **_PYRAMID})
    yield _configured("DPT", larger, {**_VISION, "image_size": 64, "num_hidden_layers": 4, **_DPT}, "ForSemanticSegmentation")
    yield _configured("FocalNet", larger, {"image_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 32, 64]})
    yield _configured("Cvt", larger, {"embed_dim": [8, 16, 24], "num_heads": [1, 2, 3], "depth": [1, 2, 3]})


def _hearing() -> Iterator[Entry]:
    yield _configured("Whisper", signals(16, 40), _WHISPER, part="encoder")
    for kind in ("Wav2Vec2", "Hubert", "WavLM", "UniSpeech"):
        yield _configured(kind, signals(800), _AUDIO)
    yield _configured("AST", signals(64, 32), {**_VISION, "max_length": 64, "num_mel_bins": 32})


ZOO = dict([*_torchvision(), *_timm(), *_encoders(), *_decoders(), *_seeing(), *_hearing()])

# What the graph has no way to say, and the words in which the importer says so.
BEYOND: dict[str, tuple[Specimen, str]] = {
    "hf_FNet": (_configured("FNet", tokens(), _TEXT, tpu_short_seq_length=12)[1], "aten.fft_fftn"),
    "hf_Longformer": (_configured("Longformer", tokens(), _TEXT, attention_window=4)[1], "control flow depends on the data"),
    "hf_Mixtral": (_configured("Mixtral", tokens(), _GROUPED, num_local_experts=2)[1], "aten.topk"),
}
