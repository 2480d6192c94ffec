"""How cores and memory are cut into worker processes."""

import pytest

from pangeo_hpc.dask.shape import Shape, shape_of
from pangeo_hpc.units import GIB, gib

CUTS = [
    # cores, GiB, processes, threads
    (1, 2, 1, 1),
    (2, 16, 2, 1),
    (4, 4, 1, 4),
    (4, 16, 2, 2),
    (8, 64, 4, 2),
    (16, 16, 4, 4),
    (31, 200, 6, 5),
    (36, 109, 6, 6),
    (48, 180, 8, 6),
    (64, 250, 8, 8),
    (128, 500, 16, 8),
    (192, 700, 16, 12),
]


@pytest.mark.parametrize(("cores", "memory", "processes", "threads"), CUTS)
def test_cut_is_about_square(cores: int, memory: int, processes: int, threads: int) -> None:
    """Processes and threads are about as many, within the cores, of 4 GiB or more."""
    shape = shape_of(cores, gib(memory))
    assert (shape.processes, shape.threads) == (processes, threads)
    assert shape.processes * shape.threads <= cores


@pytest.mark.parametrize("memory", [1, 7, 64, 1000])
def test_any_cut_fits(memory: int) -> None:
    """No number of cores is overbooked, and few stay idle."""
    for cores in range(1, 260):
        shape = shape_of(cores, gib(memory))
        assert 1 <= shape.processes * shape.threads <= cores
        assert cores - shape.processes * shape.threads <= max(2, cores // 8)
        assert shape.memory is not None
        assert shape.processes * shape.memory < gib(memory)


@pytest.mark.parametrize("nodes", [1, 2, 4, 8])
def test_no_process_straddles_numa_nodes(nodes: int) -> None:
    """The threads of a process fit into one NUMA node, and all NUMA nodes get as many processes."""
    for cores in range(nodes * 2, 257, nodes):
        shape = shape_of(cores, gib(4 * cores), numa_nodes=nodes)
        assert shape.processes % nodes == 0
        assert shape.threads * (shape.processes // nodes) <= cores // nodes
    tight = shape_of(28, gib(7), numa_nodes=2)
    assert (tight.processes, tight.threads) == (2, 14)
    assert shape_of(28, gib(3), numa_nodes=2).processes == 1


def test_hardware_threads_are_not_cores() -> None:
    """What a batch system counts twice is used once."""
    shape = shape_of(256, gib(500), threads_per_core=2)
    assert shape.processes * shape.threads == 128


def test_site_says() -> None:
    """The shape of the site is taken where it fits, else a new one is cut."""
    assert shape_of(36, gib(109), told=(4, 9)).processes == 4
    assert shape_of(36, gib(109), told=(4, 9)).threads == 9
    assert shape_of(72, gib(218), told=(4, 9)).processes == 8
    assert shape_of(72, gib(109), told=(4, 9), threads_per_core=2).processes == 4
    small = shape_of(4, gib(16), told=(4, 9))
    assert (small.processes, small.threads) == (2, 2)


def test_a_wish_counts_whatever_the_cores() -> None:
    """Four local workers on two cores share what there is."""
    shape = shape_of(2, gib(8), processes=4)
    assert (shape.processes, shape.threads) == (4, 1)
    assert shape.memory is not None
    assert 4 * shape.memory <= gib(8)


def test_memory_is_left_for_the_rest() -> None:
    """Nannies get a share, a scheduler in the same place a larger one, at most a quarter."""
    alone = shape_of(1, gib(16)).memory or 0
    beside = shape_of(1, gib(16), scheduler_too=True).memory or 0
    assert 15 * GIB < alone < 16 * GIB
    assert beside == gib(16) - int(gib(16) * 0.10)
    assert shape_of(1, 256 << 20, scheduler_too=True).memory == 192 << 20


def test_no_memory_known() -> None:
    """Without an amount of memory there is no limit."""
    assert shape_of(4, None) == Shape(2, 2, None)
    assert str(Shape(2, 2, None)) == "2 processes of 2 threads"
    assert str(Shape(1, 1, None)) == "1 process of 1 thread"
