"""Compiles functions that only compiled code calls: to LLVM's code, not to the machine's.

Whoever calls such a function links its code into his own and compiles that. Numba makes machine
code of each function by itself besides, of which nothing is ever called: a fifth of the time.
"""

from typing import Any

from numba import _dynfunc
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class _InnerLibrary(CPUCodeLibrary):
    """LLVM's code of a function and of what it calls, ready to be linked."""

    def _optimize_final_module(self) -> None:
        """Inline, and leave the rest to the kernel in which it ends.

        Else what is called over eight others is optimised eight times: a third of the time.
        """
        passes, builder = self._codegen._module_pass_manager(
            loop_vectorize=self._codegen._loopvect,
            slp_vectorize=False,
            opt=self._codegen._opt_level,
            cost="cheap",
        )
        passes.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _InnerLowering(NativeLowering):
    _name = "streamlstm_inner_lowering"

    def run_pass(self, state: Any) -> bool:
        """Make LLVM's code, and an entry that stands for it and cannot be called."""
        context, name = state.targetctx, state.func_id.func_qualname
        state.library = _InnerLibrary(context.codegen(), name)
        state.flags.no_compile = True
        super().run_pass(state)
        made = state["cr"]
        entry = _dynfunc.make_function(
            made.fndesc.lookup_module(),
            name,
            "only for compiled code",
            0,
            made.env,
            (state.library,),
        )
        context.insert_user_function(entry, made.fndesc, [state.library])
        state["cr"] = made._replace(cfunc=entry)
        return True


class InnerCompiler(CompilerBase):
    """The pipeline of Numba, which ends with code for LLVM."""

    def define_pipelines(self) -> list[Any]:
        """Return the passes."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [
            (_InnerLowering if each is NativeLowering else each, said)
            for each, said in passes.passes
        ]
        passes.finalize()
        return [passes]
