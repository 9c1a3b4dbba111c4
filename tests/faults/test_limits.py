"""What the system itself refuses: full disks, limits, permissions, descriptors, output that goes nowhere.

Nothing is injected. Mounts are made in a mount namespace of their own. Quotas are not tried here: the error they give
is one of those that the matrix injects.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfbundle
from tests.faults.outcomes import read_tree
from tests.support.processes import environment
from tests.support.requirements import needs_programs, needs_root
from tfbundle.streaming.layout import Layout

IO_FAILED = 7


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkpoint of 3 MB in three data files."""
    random = np.random.default_rng(7)
    tensors = {f"w{number}": random.normal(size=250_000).astype(np.float32) for number in range(3)}
    tfbundle.save(tmp_path / "source/one", tensors)
    tfbundle.merge([tmp_path / "source/one"], tmp_path / "source/model", layout=Layout(shards=3))
    for path in (tmp_path / "source").glob("one.*"):
        path.unlink()
    return tmp_path / "source/model"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out/model"


def run(script: str, *arguments: str | Path, isolated: bool = False, **options: str) -> tuple[int, str, str]:
    """Run a shell script, in which ``tfbundle`` is the command and ``$1`` and so on are the arguments.

    Its last line is the command under test; in the mount namespace what it prints after ``LEFT`` is what it left.
    """
    if isolated:
        needs_root()
        needs_programs("unshare", "mount")
    definition = f'tfbundle() {{ "{os.path.realpath(sys.executable)}" -m tfbundle "$@"; }}\n'
    command = [*(["unshare", "--mount"] if isolated else []), "sh", "-c", definition + script, "sh"]
    changes = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "LC_ALL": "C", **options}
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, env=environment(**changes), timeout=120, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def check_refusal(found: tuple[int, str, str], number: int, where: str | Path) -> None:
    """Check that a command ended with one line that names a path and the reason, and printed nothing else."""
    status, output, errors = found
    assert (status, output) == (IO_FAILED, ""), found
    assert errors.startswith("tfbundle: ")
    assert errors.count("\n") == 1, errors
    assert os.strerror(number) in errors
    assert str(where) in errors


class TestFullDisk:
    @pytest.mark.parametrize(
        ("mount_options", "arguments"),
        [
            ("size=1m", "halve"),
            ("size=1m", "cast --to bfloat16 --jobs 1"),
            ("nr_inodes=1", "halve"),
            ("nr_inodes=3", "halve"),  # the root, and two data files of three
            ("nr_inodes=4", "halve"),  # no index
        ],
    )
    def test_nothing_is_left(self, source: Path, tmp_path: Path, mount_options: str, arguments: str) -> None:
        place = tmp_path / "small"
        place.mkdir()
        verb, *options = arguments.split()
        before = read_tree(source.parent)
        script = (
            f"mount -t tmpfs -o {mount_options} none $2 || exit 99\n"
            f"tfbundle {verb} $1 $2/model {' '.join(options)}; status=$?\n"
            "ls -A $2 >&2; exit $status"
        )
        check_refusal(run(script, source, place, isolated=True), errno.ENOSPC, place)
        assert read_tree(source.parent) == before

    def test_disk_that_fills_up_under_way(self, source: Path, tmp_path: Path) -> None:
        """There is room for the data files when the run begins, and none for the index at its end."""
        place = tmp_path / "small"
        place.mkdir()
        script = (
            "mount -t tmpfs -o size=1504k,nr_inodes=100 none $2 || exit 99\n"  # 1.5 MB are 1465 KiB, in 1468
            "head -c 36864 /dev/zero > $2/other\n"
            "tfbundle halve $1 $2/model --jobs 1; status=$?\n"
            "rm $2/other; ls -A $2 >&2; exit $status"
        )
        check_refusal(run(script, source, place, isolated=True), errno.ENOSPC, place)

    def test_replacing_leaves_the_old_one(self, source: Path, tmp_path: Path) -> None:
        place = tmp_path / "small"
        place.mkdir()
        tfbundle.save(tmp_path / "old/model", {"w": np.arange(3)})
        script = (
            "mount -t tmpfs -o size=1m none $2 || exit 99\n"
            "cp $3.* $2; tfbundle halve $1 $2/model --force; status=$?\n"
            "tfbundle verify --quiet $2/model || exit 98\n"
            "ls -A $2 | grep -v '^model.index$\\|^model.data-' >&2; exit $status"
        )
        check_refusal(run(script, source, place, tmp_path / "old/model", isolated=True), errno.ENOSPC, place)


class TestLimits:
    def test_largest_file(self, source: Path, target: Path, tmp_path: Path) -> None:
        before = read_tree(tmp_path)
        check_refusal(run("ulimit -f 300; tfbundle halve $1 $2", source, target), errno.EFBIG, target)
        assert read_tree(tmp_path) == before

    @pytest.mark.parametrize("jobs", ["1", "2"])
    @pytest.mark.parametrize("num_files", [16, 40, 69, 70, 71])
    def test_few_descriptors(self, target: Path, tmp_path: Path, num_files: int, jobs: str) -> None:
        """Sixty-four data files, on either side; whether that succeeds may depend on how few these are."""
        tfbundle.save(tmp_path / "one", {f"w{number:02}": np.ones(9, np.float32) for number in range(64)})
        tfbundle.halve(tmp_path / "one", tmp_path / "many/model", layout=Layout(shards=64))
        before = read_tree(tmp_path)
        found = run(
            f"ulimit -n {num_files}; tfbundle halve $1 $2 --jobs {jobs} --quiet", tmp_path / "many/model", target
        )
        if found == (0, "", ""):
            assert tfbundle.verify(target).ok
            return
        check_refusal(found, errno.EMFILE, tmp_path)
        assert read_tree(tmp_path) == before

    def test_more_than_a_thousand_shards(self, target: Path, tmp_path: Path) -> None:
        run_with_many_shards(1100, "halve $1 $2", target, tmp_path)

    @pytest.mark.campaign
    @pytest.mark.parametrize(
        "arguments", ["halve $1 $2", "halve $1 $2 --jobs 2", "merge $1 $2", "merge $1 $2 --link", "average $1 $1 $2"]
    )
    def test_thousands_of_shards(self, target: Path, tmp_path: Path, arguments: str) -> None:
        run_with_many_shards(2000, arguments, target, tmp_path)


def run_with_many_shards(num_shards: int, arguments: str, target: Path, folder: Path) -> None:
    """Check that they may take more descriptors than a process has at first, if no more than it may have."""
    tfbundle.save(folder / "one", {f"w{number:04}": np.ones(2, np.float32) for number in range(num_shards)})
    tfbundle.halve(folder / "one", folder / "many/model", layout=Layout(shards=num_shards))
    found = run(f"ulimit -S -n 1024; tfbundle {arguments} --quiet", folder / "many/model", target)
    assert found == (0, "", "")
    assert tfbundle.open(target).index.header.num_shards == num_shards


class TestPermissions:
    """As root without the capability to go past them."""

    def run(self, arguments: str, *paths: Path) -> tuple[int, str, str]:
        command = f'exec setpriv --bounding-set=-dac_override,-dac_read_search "{os.path.realpath(sys.executable)}"'
        needs_root()
        needs_programs("setpriv")
        return run(f"{command} -m tfbundle {arguments}", *paths)

    def test_directory_that_takes_nothing(self, source: Path, target: Path, tmp_path: Path) -> None:
        target.parent.chmod(0o555)
        before = read_tree(tmp_path)
        for place in (target, target.parent / "deep/model"):
            check_refusal(self.run("halve $1 $2", source, place), errno.EACCES, target.parent)
        assert read_tree(tmp_path) == before

    @pytest.mark.parametrize("suffix", [".index", ".data-00001-of-00003"])
    def test_source_that_nobody_may_read(self, source: Path, target: Path, tmp_path: Path, suffix: str) -> None:
        path = Path(f"{source}{suffix}")
        path.chmod(0)
        check_refusal(self.run("halve $1 $2", source, target), errno.EACCES, path)
        assert list(target.parent.iterdir()) == []

    def test_directory_that_nobody_may_enter(self, source: Path, target: Path) -> None:
        source.parent.chmod(0)
        check_refusal(self.run("halve $1 $2", source, target), errno.EACCES, source.parent)
        source.parent.chmod(0o755)

    def test_target_that_nobody_may_enter(self, source: Path, target: Path) -> None:
        """Whether there is a checkpoint cannot be known."""
        target.parent.chmod(0o444)
        check_refusal(self.run("halve $1 $2", source, target), errno.EACCES, target.parent)

    def test_directory_that_can_be_written_but_not_listed(self, source: Path, target: Path) -> None:
        target.parent.chmod(0o333)
        assert self.run("halve $1 $2 --quiet", source, target) == (0, "", "")
        assert self.run("halve $1 $2 --quiet --force", source, target) == (0, "", "")
        target.parent.chmod(0o755)
        assert tfbundle.verify(target).ok
        assert not [path for path in target.parent.iterdir() if ".tmp-" in path.name]

    def test_checkpoint_file_that_nobody_may_read_or_replace(self, source: Path, target: Path) -> None:
        """The bundle is complete all the same, and the user is told."""
        state = target.parent / "checkpoint"
        state.write_text('model_checkpoint_path: "other"\n')
        state.chmod(0)
        status, output, errors = self.run("halve $1 $2", source, target)
        assert (status, errors) == (0, "")
        assert f"note: left alone: {state}: Permission denied" in output
        assert state.read_text() == 'model_checkpoint_path: "other"\n'

    def test_read_only_file_system(self, source: Path, tmp_path: Path) -> None:
        place = tmp_path / "fixed"
        place.mkdir()
        script = "mount --bind $2 $2 && mount -o remount,bind,ro $2 || exit 99\ntfbundle halve $1 $2/model"
        check_refusal(run(script, source, place, isolated=True), errno.EROFS, place)
        assert list(place.iterdir()) == []


class TestOutput:
    @pytest.mark.parametrize("arguments", ["ls $1", "verify $1", "show $1 w0", "diff $1 $1", "halve $1 $2"])
    def test_full_standard_output(self, source: Path, target: Path, arguments: str) -> None:
        status, _, errors = run(f"tfbundle {arguments} > /dev/full", source, target)
        assert (status, errors) == (IO_FAILED, f"tfbundle: standard output: {os.strerror(errno.ENOSPC)}\n")

    @pytest.mark.parametrize("arguments", ["halve $1 $2", "ls $2"])
    def test_full_standard_error(self, source: Path, target: Path, arguments: str) -> None:
        status, _, _ = run(f"tfbundle {arguments} 2> /dev/full", source, target)
        assert status == (0 if "halve" in arguments else 3)

    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-"])
    def test_closed_streams(self, source: Path, target: Path, closed: str) -> None:
        """Files that are opened must not become the standard output by taking its number."""
        assert run(f"tfbundle halve $1 $2 {closed}", source, target)[0] == 0
        assert tfbundle.verify(target).ok


class TestCurrentDirectory:
    def test_removed(self, source: Path, target: Path, tmp_path: Path) -> None:
        begin = "mkdir $3; cd $3; rmdir $3; "
        assert run(begin + "tfbundle halve $1 $2 --quiet", source, target, tmp_path / "gone") == (0, "", "")
        assert tfbundle.verify(target).ok
        status, output, errors = run(begin + "tfbundle halve $1 out/model", source, target, tmp_path / "gone")
        assert (status, output, errors.count("\n")) == (IO_FAILED, "", 1)
        assert os.strerror(errno.ENOENT) in errors
