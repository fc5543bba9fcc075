"""Decoders: what they make of photos, and that a photo which one does not survive hurts no other."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from agents.life import Life
from agents.photo.decode import decode
from agents.photo.decoder import ANSWER, BUG, LONGEST_TEXT, NO_MEMORY, PREPARED, READY, REJECTED
from agents.photo.decoders import Decoders, Killed, Limits
from agents.photo.facts import facts, pack
from agents.vision.model import Frame, frame_of
from agents.vision.scene_label import SCENE_LABEL
from schemas.errors import Reason, Rejected, Unavailable
from tests.support.bombs import flat, scans
from tests.support.eventually import eventually
from tests.support.pictures import picture

pytestmark = [pytest.mark.unit, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

PHOTO = picture((600, 400))
FACTS = pack(facts(decode(PHOTO, short_side=256)), Frame(300, 200))
OTHERS = [picture((400 + n, 300)) for n in range(6)]


def pids(decoders):
    return [decoder.pid for decoder in decoders._decoders]


def gone(*processes):
    """Ended, and no zombie."""
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]


def ended(pid):
    """Though who inherited it may not have taken note of it yet."""
    assert not Path(f"/proc/{pid}").exists() or read(pid, "stat").rpartition(b")")[2].split()[0] == b"Z"


async def taken(decoders):
    """Every decoder has a photo, or is about to."""

    def none_is_idle():
        assert decoders._idle.empty()

    await asyncio.to_thread(eventually, none_is_idle)


def read(pid, name):
    return Path(f"/proc/{pid}/{name}").read_bytes()


def sockets(pid):
    """By their numbers."""
    return [int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir() if str(fd.readlink()).startswith("socket:")]


def cpu_seconds(pid):
    return sum(map(int, read(pid, "stat").rpartition(b")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


async def ready(decoders):
    """All are started: each has prepared a photo, or waits for one."""
    await asyncio.gather(*(decoders.prepare(PHOTO) for _ in decoders._decoders))
    for decoder in decoders._decoders:
        await asyncio.to_thread(decoder.wait_ready)


def as_expected(prepared, data):
    seen = decode(data, short_side=SCENE_LABEL.short_side)
    assert (prepared.facts, prepared.frame) == (facts(seen), frame_of(seen))
    [inputs] = prepared.inputs
    expected = SCENE_LABEL.prepare(seen)
    assert inputs.keys() == expected.keys()
    assert all((inputs[name] == expected[name]).all() for name in expected)


async def rejected(decoders, data):
    with pytest.raises(Rejected) as caught:
        await decoders.prepare(data)
    return caught.value.reason, caught.value.detail


async def beside_others(decoders, data):
    """Why the photo is rejected, in the midst of others that are not."""
    photos = [*OTHERS[:3], data, *OTHERS[3:]]
    outcomes = await asyncio.gather(*(decoders.prepare(photo) for photo in photos), return_exceptions=True)
    [why] = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert isinstance(why, Rejected), why
    for photo, outcome in zip(photos, outcomes, strict=True):
        if photo is not data:
            as_expected(outcome[0], photo)
    return why.reason, why.detail


async def test_a_photo_is_prepared_as_it_would_be_here():
    with Decoders([SCENE_LABEL], 1) as decoders:
        for data in (PHOTO, picture((300, 500), kind="PNG"), picture((640, 480), orientation=6), PHOTO):
            prepared, seconds = await decoders.prepare(data)
            as_expected(prepared, data)
            assert seconds > 0


@pytest.mark.parametrize("data", [b"text", b"", PHOTO[: len(PHOTO) // 2], b"\xff\xd8\xff"])
async def test_a_photo_is_rejected_as_it_would_be_here(data):
    with pytest.raises(Rejected) as here:
        decode(data, short_side=256)
    with Decoders([SCENE_LABEL], 1) as decoders:
        [pid] = pids(decoders)
        assert await rejected(decoders, data) == (here.value.reason, here.value.detail)
        as_expected((await decoders.prepare(PHOTO))[0], PHOTO)
        assert pids(decoders) == [pid]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
async def test_a_bomb_that_takes_too_much_memory_hurts_no_other(kind):
    bomb = flat(kind)
    assert len(bomb) < 1 << 20
    with Decoders([SCENE_LABEL], 2, Limits(memory_bytes=200 << 20)) as decoders:
        before = pids(decoders)
        assert await beside_others(decoders, bomb) == (Reason.OBJECT_TOO_LARGE, "decoder ran out of memory")
        assert len(set(before) & set(pids(decoders))) == 1
    gone(*before, *pids(decoders))


async def test_an_object_that_does_not_fit_into_a_decoder_is_too_large():
    with Decoders([SCENE_LABEL], 1, Limits(memory_bytes=100 << 20)) as decoders:
        assert await rejected(decoders, bytes(150 << 20)) == (Reason.OBJECT_TOO_LARGE, "decoder ran out of memory")


async def test_a_bomb_that_takes_too_long_hurts_no_other():
    with Decoders([SCENE_LABEL], 2, Limits(cpu_seconds=1)) as decoders:
        before = pids(decoders)
        assert await beside_others(decoders, scans(4000)) == (Reason.OBJECT_TOO_LARGE, "decoder ran out of time")
        assert len(set(before) & set(pids(decoders))) == 1
    gone(*before, *pids(decoders))


async def test_processor_time_is_counted_by_the_photo():
    with Decoders([SCENE_LABEL], 1, Limits(cpu_seconds=1)) as decoders:
        [pid] = pids(decoders)
        while cpu_seconds(pid) < 2.5:
            await decoders.prepare(OTHERS[0])
        assert pids(decoders) == [pid]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
async def test_a_photo_whose_decoder_is_killed_is_tried_again_in_another(number):
    with Decoders([SCENE_LABEL], 1) as decoders:
        await ready(decoders)
        [pid] = pids(decoders)
        os.kill(pid, signal.SIGSTOP)  # so that it is in the middle of the photo
        photo = asyncio.create_task(decoders.prepare(OTHERS[0]))
        await taken(decoders)
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)
        as_expected((await photo)[0], OTHERS[0])
        assert pids(decoders) != [pid]
        gone(pid)


async def test_a_photo_that_kills_two_decoders_is_rejected_and_hurts_no_other():
    with Decoders([SCENE_LABEL], 2, command=dying(signal.SIGSEGV)) as decoders:
        assert await beside_others(decoders, PHOTO + b"deadly") == (Reason.DAMAGED_PHOTO, "decoder crashed")
        known = pids(decoders)
        as_expected((await decoders.prepare(PHOTO))[0], PHOTO)
    gone(*known)


async def test_decoders_that_are_killed_from_outside_say_nothing_of_the_photo():
    with Decoders([SCENE_LABEL], 1, command=dying(signal.SIGKILL)) as decoders:
        with pytest.raises(Killed, match="short of memory"):
            await decoders.prepare(PHOTO + b"deadly")
        as_expected((await decoders.prepare(PHOTO))[0], PHOTO)


async def test_an_idle_decoder_that_is_killed_is_replaced_before_the_next_photo():
    with Decoders([SCENE_LABEL], 2) as decoders:
        await ready(decoders)
        before = pids(decoders)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        for photo in OTHERS:
            as_expected((await decoders.prepare(photo))[0], photo)
        gone(*before)


async def test_a_photo_whose_decoder_stands_still_is_tried_again_in_another():
    with Decoders([SCENE_LABEL], 1, Limits(wall_seconds=4)) as decoders:
        await ready(decoders)
        [pid] = pids(decoders)
        os.kill(pid, signal.SIGSTOP)
        as_expected((await decoders.prepare(OTHERS[0]))[0], OTHERS[0])
        gone(pid)


def running(script):
    """A command that runs a script as decoder, in which `d` is its module and `channel` its socket."""
    before = "import os, signal, socket, struct, sys, time; import agents.photo.decoder as d"
    return [sys.executable, "-P", "-c", f"{before}\n{textwrap.dedent(script)}"]


def dying(number):
    """A command that is a decoder, and has itself killed by a photo that ends with "deadly"."""
    return running(f"""
        decode = d.decode
        def deadly(data, short_side):
            if data.endswith(b"deadly"):
                os.kill(os.getpid(), {number:d})
            return decode(data, short_side=short_side)
        d.decode = deadly
        d.main()
    """)


def saying(answer):
    """A command that starts as a decoder does, and answers every photo so."""
    return running(
        f"""
        channel = socket.socket(fileno=0)
        channel.sendall({READY!r})
        channel.recv(1)
        channel.sendall({answer!r})
        time.sleep(600)
        """
    )


async def test_a_photo_that_hangs_every_decoder_is_rejected_and_hurts_no_other():
    hang = """
        decode = d.decode
        def endless(data, short_side):
            while data.endswith(b"endless"):
                time.sleep(1)
            return decode(data, short_side=short_side)
        d.decode = endless
        d.main()
    """
    with Decoders([SCENE_LABEL], 2, Limits(wall_seconds=5), command=running(hang)) as decoders:
        reason = await beside_others(decoders, PHOTO + b"endless")
        assert reason == (Reason.OBJECT_TOO_LARGE, "decoder ran out of time")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff" * 100,
        ANSWER.pack(7, 0, 1),
        ANSWER.pack(PREPARED, 0, 1) + b"x",
        ANSWER.pack(PREPARED, 0, 2**32 - 1) + bytes(1000),
        ANSWER.pack(PREPARED, 0, len(FACTS)) + b"\xff" * len(FACTS),
        ANSWER.pack(PREPARED, 0, len(FACTS)) + FACTS + bytes(1000),
        ANSWER.pack(REJECTED, 200, 1),
        ANSWER.pack(REJECTED, 0, LONGEST_TEXT + 1) + b"x" * (LONGEST_TEXT + 1),
        ANSWER.pack(BUG, 0, 2**32 - 1),
    ],
)
async def test_a_decoder_that_a_photo_took_over_can_only_have_it_rejected(answer):
    with Decoders([SCENE_LABEL], 1, Limits(wall_seconds=1.5), command=saying(answer)) as decoders:
        reason, detail = await rejected(decoders, PHOTO)
    assert reason in (Reason.DAMAGED_PHOTO, Reason.OBJECT_TOO_LARGE)
    assert detail in ("decoder crashed", "decoder ran out of time")


async def test_what_it_says_is_no_more_than_text():
    text = b"\x1b[31mred\nline\0" + b"\xff"
    with Decoders([SCENE_LABEL], 1, command=saying(ANSWER.pack(REJECTED, 1, len(text)) + text)) as decoders:
        assert await rejected(decoders, PHOTO) == (Reason.DAMAGED_PHOTO, "?[31mred?line?\ufffd")


async def test_a_bug_in_a_decoder_is_raised_with_its_place():
    bug = running("d.decode = None; d.main()")
    with (
        Decoders([SCENE_LABEL], 1, command=bug) as decoders,
        pytest.raises(RuntimeError, match=r"(?s)agents/photo/decoder\.py.*TypeError"),
    ):
        await decoders.prepare(PHOTO)


@pytest.mark.parametrize(
    "command",
    [
        ["/bin/false"],
        [sys.executable, "-c", "print('hello')"],
        [sys.executable, "-c", f"raise SystemExit({NO_MEMORY})"],
        [sys.executable, "-c", "import os; os.kill(os.getpid(), 24)"],  # SIGXCPU
    ],
)
async def test_decoders_that_do_not_start_are_unavailable_and_no_photo_is_to_blame(command):
    with Decoders([SCENE_LABEL], 1, command=command) as decoders:
        for _ in range(3):
            with pytest.raises(Unavailable, match="decoders"):
                await decoders.prepare(PHOTO)


async def test_it_inherits_no_secret_and_no_socket(monkeypatch):
    monkeypatch.setenv("SAFELIGHT_HASH_KEY", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with Decoders([SCENE_LABEL], 2) as decoders:
        await ready(decoders)
        for pid in pids(decoders):
            names = {entry.partition(b"=")[0] for entry in read(pid, "environ").split(b"\0")}
            assert names - {b""} <= {b"PYTHONPATH", b"OPENBLAS_NUM_THREADS", b"LD_LIBRARY_PATH"}
            assert sockets(pid)[0] == 0
            assert set(sockets(pid)) <= {0, 2}  # standard error is the worker's, whatever that is


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_does_not_end_by_what_ends_a_worker(number):
    with Decoders([SCENE_LABEL], 1) as decoders:
        await ready(decoders)
        [pid] = pids(decoders)
        assert os.getpgid(pid) != os.getpgid(0)
        os.kill(pid, number)
        as_expected((await decoders.prepare(OTHERS[0]))[0], OTHERS[0])
        assert pids(decoders) == [pid]


PARENT = """
import asyncio, sys
from agents.photo.decoders import Decoders
from agents.vision.model import Frame, frame_of
from agents.vision.scene_label import SCENE_LABEL
from tests.support.bombs import scans

async def main():
    with Decoders([SCENE_LABEL], 2) as decoders:
        busy = scans(20_000)
        await decoders.prepare(scans(0))
        print(*(decoder.pid for decoder in decoders._decoders), flush=True)
        if sys.argv[1] == "busy":
            await asyncio.gather(*(decoders.prepare(busy) for _ in range(2)))
        sys.stdin.read()

asyncio.run(main())
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_decoders_end_when_their_worker_is_killed(state):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PARENT, state]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as parent:
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        parent.kill()
    for child in children:
        eventually(lambda pid=child: ended(pid))


async def test_closing_ends_all_even_in_the_middle_of_a_photo():
    with Decoders([SCENE_LABEL], 2) as decoders:
        known = pids(decoders)
        busy = [asyncio.create_task(decoders.prepare(scans(20_000))) for _ in range(3)]
        await taken(decoders)
    gone(*known, *pids(decoders))
    for outcome in await asyncio.gather(*busy, return_exceptions=True):
        assert isinstance(outcome, RuntimeError | asyncio.CancelledError)


async def test_who_is_cancelled_need_not_wait_and_takes_no_decoder_with_him():
    with Decoders([SCENE_LABEL], 1, Limits(wall_seconds=4)) as decoders:
        await ready(decoders)
        os.kill(pids(decoders)[0], signal.SIGSTOP)
        photo = asyncio.create_task(decoders.prepare(PHOTO))
        await taken(decoders)
        photo.cancel()
        with pytest.raises(asyncio.CancelledError):
            await photo
        as_expected((await decoders.prepare(OTHERS[0]))[0], OTHERS[0])


async def test_work_is_alive_while_its_photo_waits_and_is_decoded():
    now = 0.0
    work = Life(clock=lambda: now)
    with Decoders([SCENE_LABEL], 1, Limits(wall_seconds=4)) as decoders:
        await ready(decoders)
        os.kill(pids(decoders)[0], signal.SIGSTOP)
        with work.of_this_context():
            photos = [asyncio.create_task(decoders.prepare(photo)) for photo in OTHERS[:2]]
        await taken(decoders)
        now = 10_000.0
        signed = decoders._life._signed
        assert work.quiet_seconds() < 1_000

        def a_sign_though_nothing_came():
            assert decoders._life._signed > signed

        await asyncio.to_thread(eventually, a_sign_though_nothing_came)
        for prepared, photo in zip(await asyncio.gather(*photos), OTHERS[:2], strict=True):
            as_expected(prepared[0], photo)


async def test_inputs_may_be_written_to():
    with Decoders([SCENE_LABEL], 1) as decoders:
        prepared, _ = await decoders.prepare(PHOTO)
    for inputs in prepared.inputs:
        for tensor in inputs.values():
            assert tensor.dtype == np.float32
            tensor[:] = 1
