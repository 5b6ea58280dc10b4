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


@dataclass(frozen=True)
class Specimen:
    """A network and how to make inputs for it. `keyword` names the argument if it isn't the first."""

    build: Callable[[], nn.Module]
    sample: Sampler
    keyword: str = ""


def images(side: int, channels: int = 3) -> Sampler:
    """Return a sampler of random images."""
    return lambda batch: torch.randn(batch, channels, side, side)


def tokens(length: int = 12, vocabulary: int = 99) -> Sampler:
    """Return a sampler of random token sequences; 0 to 4 are left out, for models give them meanings of their own."""
    return lambda batch: torch.randint(5, vocabulary, (batch, length))


def unsettle(module: nn.Module) -> nn.Module:
    """Give constant parameters and statistics random values near what they were, so that none of them can hide.

    Definitions start residual branches at a scale of zero or a millionth, biases at zero and norms at one; a branch that
    is lowered wrongly would go unseen.
    """
    running = {name: b for name, b in module.named_buffers() if name.endswith(("running_mean", "running_var"))}
    with torch.no_grad():
        for tensor in (*module.parameters(), *running.values()):
            if tensor.is_floating_point() and tensor.numel() > 0 and bool((tensor == tensor.flatten()[0]).all()):
                start = float(tensor.flatten()[0])
                tensor.uniform_(0.8, 1.2).mul_(start if abs(start) > 1e-3 else 1.0)
                if abs(start) <= 1e-3:
                    tensor.sub_(1.0).mul_(0.5).add_(0.2 if start else 0.0)
    return module


def _torchvision() -> Iterator[tuple[str, Specimen]]:
    def model(name: str, side: int = 64, **options: Any) -> tuple[str, Specimen]:
        def build() -> nn.Module:
            from torchvision import models

            return models.get_model(name, weights=None, **options)

        return name, Specimen(build, images(side))

    def segmenter(name: str) -> tuple[str, Specimen]:
        return model(name, weights_backbone=None, num_classes=5)

    small = ("alexnet", "vgg11_bn", "vgg16", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "densenet121")
    small += ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "efficientnet_v2_s")
    small += ("shufflenet_v2_x1_0", "squeezenet1_0", "squeezenet1_1", "mnasnet1_0", "regnet_y_400mf", "regnet_x_400mf")
    small += ("convnext_tiny", "swin_t", "swin_v2_t")
    yield from (model(name) for name in small)
    yield model("googlenet", init_weights=False)
    yield model("inception_v3", side=96, init_weights=False)
    yield model("vit_b_16", image_size=64)
    yield model("maxvit_t", side=64, input_size=(64, 64), partition_size=2)
    yield from map(segmenter, ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"))


def _timm() -> Iterator[tuple[str, Specimen]]:
    def model(name: str, side: int = 64, **options: Any) -> tuple[str, Specimen]:
        def build() -> nn.Module:
            import timm

            return timm.create_model(name, pretrained=False, **options)

        return f"timm_{name}", Specimen(build, images(side))

    plain = ("resnet18", "resnet26d", "seresnet18" if False else "seresnext26d_32x4d", "mobilenetv3_small_100", "mobilenetv4_conv_small")
    plain += ("efficientnet_lite0", "tf_efficientnet_b0", "convmixer_768_32", "poolformer_s12", "ghostnet_100", "repvgg_a0")
    plain += ("res2net50_26w_4s", "resnest14d", "pvt_v2_b0", "edgenext_xx_small", "mobilevit_xxs", "mobilevitv2_050")
    plain += ("hrnet_w18_small", "convnextv2_atto", "fastvit_t8", "dpn68", "dla34", "cspresnet50", "xception41", "nfnet_l0")
    plain += ("skresnet18", "ecaresnet26t", "gcresnet33ts", "regnetz_b16", "inception_v4", "repvit_m0_9", "starnet_s1", "mnasnet_small")
    plain += ("rexnet_100", "efficientformer_l1", "vovnet39a", "hardcorenas_a", "lcnet_050", "tinynet_e", "bat_resnext26ts", "halonet26t")
    yield from (model(name) for name in plain)
    for name in ("deit_tiny_patch16_224", "vit_tiny_patch16_224", "beit_base_patch16_224", "eva02_tiny_patch14_224"):
        yield model(name, side=56 if "14" in name else 64, img_size=56 if "14" in name else 64, depth=2)
    yield model("cait_xxs24_224", img_size=64, depth=2)
    yield model("xcit_nano_12_p16_224", img_size=64, depth=2)
    yield model("mixer_s16_224", img_size=64, num_blocks=2)
    yield model("resmlp_12_224", img_size=64, num_blocks=2)
    yield model("gmlp_ti16_224", img_size=64, num_blocks=2)
    yield model("swin_tiny_patch4_window7_224", img_size=64, window_size=4, depths=(2, 2))
    yield model("swinv2_tiny_window8_256", img_size=64, window_size=4, depths=(2, 2))
    yield model("coat_tiny", img_size=64)
    yield model("coatnet_nano_rw_224", img_size=64)
    yield model("levit_128s", side=224)
    yield model("pit_ti_224", side=64, img_size=64)
    yield model("twins_pcpvt_small", img_size=64)
    yield model("convit_tiny", img_size=64)
    yield model("crossvit_tiny_240", side=240)
    yield model("visformer_tiny", img_size=64)
    yield model("focalnet_tiny_srf", img_size=64)
    yield model("gcvit_xxtiny", img_size=64, window_size=(2, 2, 4, 2))
    yield model("tnt_s_legacy_patch16_224", img_size=64, depth=2)
    yield model("davit_tiny", img_size=64)
    yield model("hiera_tiny_224", img_size=64)


_TEXT = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED = {**_TEXT, "num_key_value_heads": 2, "head_dim": 8}
_VISION = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
_GPT2 = {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 1, "eos_token_id": 2}


def _hugging_face() -> Iterator[tuple[str, Specimen]]:
    def model(kind: str, sample: Sampler, options: Mapping[str, Any], head: str = "Model", part: str = "", **more: Any) -> tuple[str, Specimen]:
        def build() -> nn.Module:
            import transformers

            configuration = getattr(transformers, f"{kind}Config")(**options, **more)
            for flag in ("use_cache", "is_encoder_decoder"):
                if hasattr(configuration, flag):
                    setattr(configuration, flag, False)
            whole = getattr(transformers, f"{kind}{head}")(configuration)
            return getattr(whole, part) if part else whole

        name = f"hf_{kind}{'' if head == 'Model' else head}"
        return name + ("_eager" if more.get("attn_implementation") == "eager" else ""), Specimen(build, sample)

    text, vision = tokens(), images(32)
    yield from (model(kind, text, _TEXT) for kind in ("Bert", "Roberta", "Electra", "Camembert", "XLMRoberta", "Ernie", "ConvBert"))
    yield model("Bert", text, _TEXT, attn_implementation="eager")
    yield model("Bert", text, _TEXT, "ForSequenceClassification")
    yield model("Roberta", text, _TEXT, "ForMaskedLM")
    yield model("DistilBert", text, {"vocab_size": 99, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64})
    yield model("Albert", text, _TEXT, embedding_size=16)
    yield model("MobileBert", text, _TEXT, embedding_size=16, intra_bottleneck_size=16, true_hidden_size=16)
    yield model("SqueezeBert", text, _TEXT, embedding_size=32)
    yield model("Deberta", text, _TEXT, relative_attention=True, pos_att_type=["c2p", "p2c"])
    yield model("DebertaV2", text, _TEXT, relative_attention=True, pos_att_type=["c2p", "p2c"], position_buckets=8, norm_rel_ebd="layer_norm")
    yield model("MPNet", text, _TEXT)
    yield model("Funnel", text, {"vocab_size": 99, "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 48, "block_sizes": [1, 1]}, "BaseModel")
    yield model("FNet", text, _TEXT, tpu_short_seq_length=12)
    yield model("ModernBert", text, _TEXT, local_attention=8, reference_compile=False)
    yield model("Longformer", text, _TEXT, attention_window=4)

    yield model("GPT2", text, _GPT2)
    yield model("GPT2", text, _GPT2, attn_implementation="eager")
    yield model("GPT2", text, _GPT2, "LMHeadModel")
    yield model("GPTNeo", text, {"vocab_size": 99, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 4, "max_position_embeddings": 64})
    yield model("GPTJ", text, _GPT2, rotary_dim=4)
    yield model("CodeGen", text, {**_GPT2, "n_ctx": 64}, rotary_dim=4)
    yield model("GPTBigCode", text, _GPT2)
    yield from (model(kind, text, _TEXT) for kind in ("GPTNeoX", "Phi", "Persimmon", "BioGpt", "XGLM" if False else "OPT"))
    yield model("Bloom", text, {"vocab_size": 99, "hidden_size": 32, "n_layer": 2, "n_head": 4})
    yield model("Falcon", text, {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": False})
    yield model("MPT" if False else "Mpt", text, {"vocab_size": 99, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64})
    for kind in ("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Gemma2", "Phi3", "Cohere", "StableLm", "Starcoder2", "Olmo2", "Granite", "SmolLM3", "Glm"):
        yield model(kind, text, _GROUPED)
    yield model("Llama", text, _GROUPED, "ForCausalLM")
    yield model("Llama", text, _GROUPED, attn_implementation="eager")
    yield model("Mixtral", text, _GROUPED, num_local_experts=2, num_experts_per_tok=1)
    yield model("Mamba", text, {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "expand": 2})
    yield model("Rwkv", text, {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32, "context_length": 16})

    t5 = {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    yield model("T5", text, t5, "EncoderModel")
    yield model("MT5", text, t5, "EncoderModel")
    yield model("UMT5", text, t5, "EncoderModel")
    bart = {"vocab_size": 99, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64}
    yield model("Bart", text, bart, part="encoder")
    yield model("Bart", text, bart)
    yield model("Pegasus", text, bart, part="encoder")
    whisper = {**bart, "num_mel_bins": 16, "max_source_positions": 20, "max_target_positions": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    yield model("Whisper", lambda batch: torch.randn(batch, 16, 40), whisper, part="encoder")
    audio = {**_TEXT, "conv_dim": (16, 16, 16), "conv_stride": (5, 2, 2), "conv_kernel": (10, 3, 3), "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    wave: Sampler = lambda batch: torch.randn(batch, 800)  # noqa: E731
    yield from (model(kind, wave, audio) for kind in ("Wav2Vec2", "Hubert", "WavLM", "SEW" if False else "UniSpeech"))
    yield model("ASTModel"[:3], lambda batch: torch.randn(batch, 64, 32), {**_VISION, "max_length": 64, "num_mel_bins": 32, "patch_size": 8})

    yield from (model(kind, vision, _VISION) for kind in ("ViT", "DeiT", "Beit", "ViTMSN", "Dinov2", "IJepa", "YolosModel"[:5], "ViTMAE" if False else "Dinov2WithRegisters"))
    yield model("ViT", vision, _VISION, "ForImageClassification")
    yield model("SiglipVision", vision, _VISION)
    yield model("CLIPVision", vision, _VISION)
    swin = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
    yield model("Swin", vision, swin)
    yield model("Swinv2", vision, swin)
    yield model("ConvNext", vision, {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]})
    yield model("ConvNextV2", vision, {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]})
    yield model("ResNet", vision, {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}, "ForImageClassification")
    yield model("RegNet", vision, {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "groups_width": 8})
    yield model("MobileViT", vision, {"image_size": 32, "hidden_sizes": [24, 32, 40], "neck_hidden_sizes": [8, 8, 16, 24, 32, 40, 48], "num_attention_heads": 4})
    yield model("MobileNetV1", vision, {"image_size": 32})
    yield model("MobileNetV2", vision, {"image_size": 32})
    yield model("EfficientNet", vision, {"image_size": 32, "num_hidden_layers": 2, "hidden_dim": 1280})
    yield model("Segformer", images(64), {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32], "num_attention_heads": [1, 2, 3, 4], "decoder_hidden_size": 16}, "ForSemanticSegmentation")
    yield model("PoolFormer", vision, {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32]})
    yield model("Cvt", images(64), {"embed_dim": [8, 16, 24], "num_heads": [1, 2, 3], "depth": [1, 1, 1]})
    yield model("Levit", images(64), {"image_size": 64, "hidden_sizes": [16, 24, 32], "num_attention_heads": [2, 3, 4], "depths": [1, 1, 1], "key_dim": [4, 4, 4]})
    yield model("Pvt", images(64), {"image_size": 64, "depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32], "num_attention_heads": [1, 2, 3, 4]})
    yield model("DPT", images(64), {**_VISION, "image_size": 64, "is_hybrid": False, "backbone_out_indices": [0, 0, 1, 1], "neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 16}, "ForDepthEstimation")
    yield model("Data2VecVision", vision, _VISION)
    yield model("FocalNet", images(64), {"image_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 32, 64]})


ZOO: dict[str, Specimen] = dict([*_torchvision(), *_timm(), *_hugging_face()])
