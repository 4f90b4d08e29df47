"""The processor that something was measured on: its name, and the vector instructions that its speed depends on."""

import platform
from pathlib import Path

FILE = Path("/proc/cpuinfo")
INSTRUCTIONS = {"AVX2": "avx2", "AVX-512": "avx512f", "AMX": "amx_tile"}
"""Name -> flag of Linux."""
OF_BFLOAT16 = {"amx_bf16", "avx512_bf16"}
"""Flags of products of bfloat16; one is enough."""


def processor(described: Path = FILE) -> str:
    """`AMD EPYC with AVX2`, `Intel(R) Xeon(R) Processor with AVX-512, AMX`; what Python knows where Linux says less."""
    said = _said(described)
    name, flags = said.get("model name", platform.processor() or platform.machine()), said.get("flags", "").split()
    known = [instructions for instructions, flag in INSTRUCTIONS.items() if flag in flags]
    if "AVX-512" in known:
        known.remove("AVX2")
    return f"{name} with {', '.join(known)}" if known else name


def lacks_bfloat16(described: Path = FILE) -> bool:
    """Whether it multiplies bfloat16 as float32, which takes longer than float32 itself; False where nobody says."""
    flags = _said(described).get("flags", "").split()
    return bool(flags) and OF_BFLOAT16.isdisjoint(flags)


def _said(described: Path) -> dict[str, str]:
    lines = described.read_text().splitlines() if described.exists() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
