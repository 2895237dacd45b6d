"""The layers, a file each: equations, fields, shapes of parameters and widths of states.

A layer here is a specification. The arithmetic is in kernels/reference.py, the weights are in a
:class:`streamlstm.Model`. Activations are named by text, with parameters in brackets where they
have any (:mod:`streamlstm.network.activations`): ``"tanh"``, ``"hard_sigmoid(0.2, 0.5)"``.

A new kind of layer is a file with a subclass of :class:`Layer`, and a line below.
"""

from .attention import Attention as Attention
from .base import Layer as Layer
from .bidirectional import Bidirectional as Bidirectional
from .conv1d import Conv1D as Conv1D
from .dense import Dense as Dense
from .embedding import Embedding as Embedding
from .gru import GRU as GRU
from .layer_norm import LayerNorm as LayerNorm
from .lstm import LSTM as LSTM
from .over_rows import Flatten as Flatten
from .over_rows import Last as Last
from .over_rows import Repeat as Repeat
from .over_rows import Reverse as Reverse
from .over_rows import SoftmaxOverRows as SoftmaxOverRows
from .over_rows import Transpose as Transpose
from .parallel import Parallel as Parallel
from .pointwise import Pointwise as Pointwise
from .pool import Pool as Pool
from .rnn import RNN as RNN
