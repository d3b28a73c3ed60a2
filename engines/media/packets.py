"""What a video's packets tell of the frames that decoding gives: which are shown, when, and which never came."""

from bisect import insort
from pathlib import Path

import av

SKIPS_TO_KEY = {"h264", "hevc"}  # whose decoders give nothing before the first key frame
VP8_SHOWN = 0x10  # in a frame's first byte; VP8 has frames that only later ones look at
UNTIMED = {"avi"}  # formats that keep the order of decoding alone: their presentation times are guesses
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # what Matroska begins with, and what all else lies in
BEARABLE = 2  # frames that may be late, since decoders learn how far to look ahead as they go


def missing_bytes(path: Path) -> int:
    """How many bytes a Matroska or WebM file lacks by its own words: it has no list of frames from which the loss could be seen.

    0 for other files, and for live recordings, which do not know their size.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    at = head.find(SEGMENT) + len(SEGMENT)
    if not head.startswith(EBML) or at < len(SEGMENT) or at >= len(head) or not head[at]:
        return 0
    length = 9 - head[at].bit_length()  # leading zero bits tell how many bytes the size has
    size = int.from_bytes(head[at : at + length], "big") - (1 << 7 * length)
    return 0 if size == (1 << 7 * length) - 1 else max(0, at + length + size - path.stat().st_size)


def hidden(packet: "av.Packet[av.VideoStream]", codec: str) -> bool:
    """Whether a packet gives no frame: an edit list cuts it off, or later frames only look at it."""
    return packet.is_discard or (codec == "vp8" and not bytes(packet)[0] & VP8_SHOWN)


def stamp(packet: "av.Packet[av.VideoStream]") -> int | None:
    """When a packet's frame is shown, in ticks; of a format that has no such times its place in the order of decoding."""
    return packet.dts if packet.stream.container.format.name in UNTIMED else packet.pts


class Counter:
    """Timestamps (None where there is none) and durations, in ticks, of the frames that the packets seen so far will give."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.shown: list[tuple[int | None, int]] = []
        self.begun = False

    def see(self, packet: "av.Packet[av.VideoStream]") -> None:
        if packet.is_keyframe and not self.begun and self.codec in SKIPS_TO_KEY:
            self.shown.clear()
        self.begun = self.begun or packet.is_keyframe
        if not hidden(packet, self.codec):
            self.shown.append((stamp(packet), packet.duration or 0))


class Awaited:
    """Frames that packets have announced and that have not come: a decoder leaves out what it cannot decode, often without a word.

    What is missing before the first frame is no loss, nor is anything of interlaced video, where two packets may share a frame.
    """

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.expected: list[int] = []  # timestamps, rising
        self.lost: dict[int, int] = {}  # by timestamp: the number of the frame that it would have been
        self.frames = 0
        self.interlaced = False

    def announce(self, packet: "av.Packet[av.VideoStream]") -> None:
        timed = packet.stream.container.format.name not in UNTIMED
        if timed and packet.size and packet.pts is not None and not hidden(packet, self.codec):
            insort(self.expected, packet.pts)

    def come(self, frame: av.VideoFrame) -> int | None:
        """Take a frame; the number of one that was left out before it, if there is one for sure."""
        self.interlaced = self.interlaced or frame.interlaced_frame
        if frame.pts is not None:
            self.pass_by(frame.pts)
        self.frames += 1
        return None if len(self.lost) <= BEARABLE or self.interlaced else min(self.lost.values())

    def pass_by(self, pts: int) -> None:
        self.lost.pop(pts, None)  # late, but here
        while self.expected and self.expected[0] <= pts:
            early = self.expected.pop(0)
            if early == pts:
                return
            if self.frames:
                self.lost[early] = self.frames

    def ended(self) -> int | None:
        """The number of a frame that never came, after the last has."""
        if self.interlaced or not self.frames:
            return None
        return min([*self.lost.values(), *([self.frames] if self.expected else [])], default=None)
