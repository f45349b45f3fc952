"""Models: plain ``torch.nn`` modules, independent of Lightning and of training."""

from nested_lightning.models.bottlenecks import Bottleneck, ConvBottleneck, DenseBottleneck
from nested_lightning.models.densenet import DenseBlockBottleneck, DenseNetEncoder
from nested_lightning.models.heads import BottleneckHead
from nested_lightning.models.network import NestedNetwork
from nested_lightning.models.ngram import NGramBag
from nested_lightning.models.text_unet import LSTMBottleneck, TextUNetEncoder
from nested_lightning.models.transformer import PretrainedEncoder
from nested_lightning.models.unet import ConvEncoder, ParallelBottleneck, UNetEncoder

__all__ = [
    "Bottleneck",
    "BottleneckHead",
    "ConvBottleneck",
    "ConvEncoder",
    "DenseBlockBottleneck",
    "DenseBottleneck",
    "DenseNetEncoder",
    "LSTMBottleneck",
    "NGramBag",
    "NestedNetwork",
    "ParallelBottleneck",
    "PretrainedEncoder",
    "TextUNetEncoder",
    "UNetEncoder",
]
