"""Which products of narrow numbers an ARM processor has.

Of an x86 processor LLVM lists every feature; of an ARM one it lists few, and knows the others by
the processor's name. So LLVM is asked to compile short functions for it: an instruction that the
processor has is in their code.
"""

from functools import cache

from llvmlite import binding

_FUNCTIONS = """
declare i32 @llvm.vector.reduce.add.v16i32(<16 x i32>)

define i32 @products(<16 x i8> %a, <16 x i8> %b) {
  %wide_a = sext <16 x i8> %a to <16 x i32>
  %wide_b = sext <16 x i8> %b to <16 x i32>
  %all = mul <16 x i32> %wide_a, %wide_b
  %sum = call i32 @llvm.vector.reduce.add.v16i32(<16 x i32> %all)
  ret i32 %sum
}

define bfloat @rounded(float %a) {
  %b = fptrunc float %a to bfloat
  ret bfloat %b
}
"""
# Names of features, and an instruction that comes with each: BFDOT comes with BFCVT.
_INSTRUCTIONS = {"+dotprod": "sdot", "+bf16": "bfcvt"}


@cache
def narrow_products(name: str, features: str, triple: str) -> str:
    """Return those of ``+dotprod,+bf16`` that a processor has, in LLVM's notation."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    module = binding.parse_assembly(_FUNCTIONS)
    module.triple = triple
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=name, features=features)
    code = machine.emit_assembly(module)
    return ",".join(feature for feature, sign in _INSTRUCTIONS.items() if sign in code)
