"""What the C library keeps of the memory that a process frees."""

BLOCK = 1024 * 1024


def keep_freed_memory() -> None:
    """Have as much as twice `BLOCK` bytes kept for what is needed next.

    glibc gives the end of its heap back as soon as 128 KiB are free there, and gets it back page by page, at the price
    of a fault each: with bulk data that is a fifth of the time. Its limits follow the largest block so far that it had
    from mmap and has freed (mallopt(3), M_MMAP_THRESHOLD), and need no call. With other C libraries nothing happens.
    """
    bytearray(BLOCK)
