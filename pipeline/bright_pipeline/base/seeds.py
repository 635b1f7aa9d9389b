"""Seeds: a hash of the root seed and of names such as (stage, index); processes and their order do not matter."""

import hashlib


def seed_for(root: int, *names: str | int) -> int:
    """The seed of a named thing, such as `seed_for(0, "image", 17)`: 0 <= seed < 2**63; it depends on nothing else."""
    text = "\x1f".join(str(name) for name in (root, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
