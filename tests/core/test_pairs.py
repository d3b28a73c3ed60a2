"""Lists of pairs: every layout and spelling, the rule of training, and every way in which a list can be wrong."""

import random
from pathlib import Path

import pytest

from engines.core.errors import ScdError, UsageError
from engines.core.pairs import Pair, look_for_pairs, read_pairs, train_pairs
from tests.core import pair_trees as trees
from tests.generate.test_animate import Notes


def named(pairs: list[Pair]) -> list[tuple[str, str]]:
    return [(pair.name, pair.garment.stem) for pair in pairs]


NEXT = trees.shifted(trees.IDS)
OWN = [(id, id) for id in trees.IDS]


@pytest.mark.parametrize("where", [".", "test"])
def test_viton_hd_by_its_root_and_by_its_part(tmp_path: Path, where: str) -> None:
    root = trees.viton(tmp_path / "set") / where
    assert named(read_pairs(root, None, None, None)) == NEXT
    first = read_pairs(root, None, None, True)[0]
    assert named([first]) == OWN[:1]
    assert first.person == tmp_path / "set" / "test" / "image" / "00006_00.jpg"
    assert first.mask == tmp_path / "set" / "test" / "agnostic-mask" / "00006_00_mask.png"
    assert (first.agnostic, first.keypoints, first.parse, first.labels, first.category) == (None,) * 5


def test_a_relative_root_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.viton(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    pair = read_pairs(Path("set"), "train", None, None)[0]
    assert pair.person == tmp_path / "set" / "train" / "image" / "00006_00.jpg"


def test_what_viton_hd_may_have_beside_a_person(tmp_path: Path) -> None:
    root = trees.viton(tmp_path)
    (root / "test" / "agnostic-mask" / "00006_00_mask.png").rename(root / "test" / "agnostic-mask" / "00006_00.png")
    trees.picture(root / "test" / "agnostic-v3.2" / "00006_00.jpg")
    trees.text(root / "test" / "openpose-json" / "00006_00_keypoints.json", "{}")
    trees.picture(root / "test" / "image-parse" / "00006_00.png")
    pair = read_pairs(root, None, None, None)[0]
    found = [path and str(path.relative_to(root / "test")) for path in (pair.mask, pair.agnostic, pair.keypoints, pair.parse)]
    assert found == [
        "agnostic-mask/00006_00.png", "agnostic-v3.2/00006_00.jpg", "openpose-json/00006_00_keypoints.json", "image-parse/00006_00.png",
    ]  # fmt: skip
    assert pair.labels == "lip"
    trees.picture(root / "test" / "image-parse-v3" / "00006_00.png")
    parse = read_pairs(root, None, None, None)[0].parse
    assert parse is not None
    assert parse.parent.name == "image-parse-v3", "the newer release goes first"


def test_our_own_set_has_categories_and_leaves_nobody_out(tmp_path: Path) -> None:
    root = trees.ours(tmp_path)
    unpaired = read_pairs(root, None, None, False)
    assert named(unpaired) == NEXT[:3], "the last has nobody to borrow from"
    assert [pair.category for pair in unpaired] == ["upper", "lower", "dress"]
    assert named(read_pairs(root, None, None, True)) == OWN
    assert named(train_pairs(root)) == OWN
    assert [pair.category for pair in train_pairs(root)] == ["upper", "lower", "dress", "upper"]


@pytest.mark.parametrize("lists", ["root", "categories"])
def test_dress_code(tmp_path: Path, lists: str) -> None:
    root = trees.dress_code(tmp_path, lists)
    pairs = read_pairs(root, None, None, False)
    ids = [(folder, ids) for folder, ids in trees.DRESS_CODE.items()]
    assert named(pairs) == [(f"{folder}/{a}_0", f"{b}_1") for folder, pair in ids for a, b in trees.shifted(pair)]
    assert [pair.category for pair in pairs] == ["upper", "upper", "lower", "lower", "dress", "dress"]
    own = read_pairs(root, None, None, True)
    assert named(own) == [(f"{folder}/{a}_0", f"{a}_1") for folder, pair in ids for a in pair]
    first = own[2]
    assert [p and p.relative_to(root).as_posix() for p in (first.person, first.parse, first.keypoints, first.mask)] == [
        "lower_body/images/013563_0.jpg", "lower_body/label_maps/013563_4.png", "lower_body/keypoints/013563_2.json", None,
    ]  # fmt: skip
    assert first.labels == "atr"


@pytest.mark.parametrize("folder", ["agnostic_masks", "mask"])
def test_masks_that_others_add_to_dress_code(tmp_path: Path, folder: str) -> None:
    mask = trees.mask(trees.dress_code(tmp_path) / "dresses" / folder / "020714_0.png")
    assert {pair.name: pair.mask for pair in read_pairs(tmp_path, None, None, True)}["dresses/020714_0"] == mask


def test_dress_codes_categories_alone(tmp_path: Path) -> None:
    root = trees.dress_code(tmp_path, "categories")
    assert named(read_pairs(root / "dresses", None, None, False)) == [("dresses/020714_0", "020715_1"), ("dresses/020715_0", "020714_1")]
    by_list = read_pairs(root, None, root / "lower_body" / "test_pairs_unpaired.txt", None)
    assert [pair.name for pair in by_list] == ["lower_body/013563_0", "lower_body/013564_0"]
    at_root = trees.text(root / "some.txt", "013563_0.jpg 013564_1.jpg\n020714_0.jpg 020715_1.jpg\n")
    assert [pair.category for pair in read_pairs(root, None, at_root, None)] == ["lower", "dress"], "found where the person is"


def test_without_lists_everybody_wears_their_own(tmp_path: Path) -> None:
    notes = Notes()
    pairs = read_pairs(trees.dress_code(tmp_path, "none"), None, None, None, notes)
    assert named(pairs)[:2] == [("upper_body/000001_0", "000001_1"), ("upper_body/000002_0", "000002_1")]
    assert len(pairs) == 6, "garments are no people"
    assert "all 6 people in their own garments" in notes.said[0]


def test_fast_fits_pack(tmp_path: Path) -> None:
    pairs = read_pairs(trees.fast_fit(tmp_path), None, None, None)
    assert named(pairs) == [("000001_0", "013563_1"), ("013563_0", "020714_1"), ("020714_0", "000001_1")]
    assert [pair.category for pair in pairs] == ["upper", "lower", "dress"]
    assert pairs[0].mask == tmp_path / "mask" / "000001_0.png"
    assert named(read_pairs(tmp_path, None, None, True))[0] == ("000001_0", "000001_1")


NAMED = {
    "test_pairs.txt": NEXT,
    "test_pairs_unpaired.txt": NEXT,
    "test_unpairs.txt": NEXT,
    "test_pairs_paired.txt": OWN,
    "VITONHD_test_paired.txt": OWN,
    "VITONHD_test_unpaired.txt": NEXT,
    "test_pairs_unpaired_1018.txt": NEXT,
    "train_pairs.txt": NEXT,
}


@pytest.mark.parametrize("name", NAMED)
def test_a_lists_name_says_whether_it_is_paired(tmp_path: Path, name: str) -> None:
    root, notes = trees.viton(tmp_path / "set"), Notes()
    path = trees.text(tmp_path / name, "".join(f"{a}.jpg {b}.jpg\n" for a, b in NEXT))
    pairs = read_pairs(root, None, path, None, notes)
    assert named(pairs) == NAMED[name]
    assert pairs[0].person.parts[-3] == ("train" if name.startswith("train") else "test")
    assert bool(notes.said) == (name in ("test_pairs.txt", "train_pairs.txt")), "a note where the name says nothing"
    assert named(read_pairs(root, None, path, True)) == OWN
    assert named(read_pairs(root, None, path, False)) == NEXT


@pytest.mark.parametrize("name", ["test_pairs.txt", "test_pairs_unpaired.txt", "test_unpairs.txt", "test_unpaired.txt"])
def test_a_sets_own_list_is_found_in_every_spelling(tmp_path: Path, name: str) -> None:
    root = trees.viton(tmp_path)
    content = (root / "test_pairs.txt").read_text()
    (root / "test_pairs.txt").unlink()
    trees.text(root / "test" / name, "# mine\n" + content)
    assert named(read_pairs(root, None, None, False)) == NEXT
    assert named(read_pairs(root, None, Path(name), False)) == NEXT, "by its name alone"


def test_of_two_lists_the_one_that_was_asked_for(tmp_path: Path) -> None:
    root = trees.fast_fit(tmp_path)
    trees.text(root / "test_pairs.txt", "000001_0.jpg 000001_1.jpg upper\n")
    assert len(read_pairs(root, None, None, False)) == 3
    assert len(read_pairs(root, None, None, True)) == 1


SPELLINGS = {
    "tabs": "00006_00.jpg\t00008_00.jpg\n",
    "commas": "00006_00.jpg, 00008_00.jpg\n",
    "blank lines, BOM and CRLF": "\ufeff\r\n00006_00.jpg 00008_00.jpg\r\n\r\n",
    "comments": "# person garment\n  00006_00.jpg   00008_00.jpg # the red one\n",
    "no endings": "00006_00 00008_00",
    "other endings": "00006_00.png 00008_00.webp\n",
    "folders": "test/image/00006_00.jpg test\\cloth\\00008_00.jpg\n",
    "a category": "00006_00.jpg 00008_00.jpg dresses\n",
}


@pytest.mark.parametrize("how", SPELLINGS)
def test_spellings_of_a_line(tmp_path: Path, how: str) -> None:
    path = trees.text(tmp_path / "mine.txt", SPELLINGS[how])
    (pair,) = read_pairs(trees.viton(tmp_path / "set"), None, path, None)
    assert (pair.person.name, pair.garment.name) == ("00006_00.jpg", "00008_00.jpg")
    assert pair.category == ("dress" if how == "a category" else None)


def test_jpg_in_the_list_and_png_on_disk(tmp_path: Path) -> None:
    root = trees.viton(tmp_path, "png")
    assert [pair.person.name for pair in read_pairs(root, None, None, None)] == [f"{id}.png" for id in trees.IDS]


def test_one_column_is_enough_for_pairs(tmp_path: Path) -> None:
    path = trees.text(tmp_path / "mine.txt", "00008_00.jpg\n00006_00.jpg\n")
    assert named(read_pairs(trees.viton(tmp_path / "set"), None, path, True)) == [("00008_00", "00008_00"), ("00006_00", "00006_00")]


def test_shuffling_column_2_changes_nothing_for_training(tmp_path: Path) -> None:
    root = trees.viton(tmp_path)
    before = train_pairs(root)
    assert named(before) == OWN
    assert {pair.person.parts[-3] for pair in before} == {"train"}
    garments = [f"{id}.jpg" for id in trees.IDS]
    random.Random(1).shuffle(garments)
    trees.text(root / "train_pairs.txt", "".join(f"{id}.jpg {g}\n" for id, g in zip(trees.IDS, garments, strict=True)))
    assert train_pairs(root) == before
    trees.text(root / "train_pairs.txt", "".join(f"{id}.jpg no-such.jpg\n" for id in trees.IDS))
    assert train_pairs(root) == before


def test_training_does_not_take_the_test_set_of_one_folder(tmp_path: Path) -> None:
    root = trees.dress_code(tmp_path)
    with pytest.raises(ScdError, match=r"lists test_pairs_unpaired\.txt but nobody of its part train"):
        train_pairs(root)
    trees.text(root / "train_pairs.txt", "000002_0.jpg 000001_1.jpg 0\n")
    assert named(train_pairs(root)) == [("upper_body/000002_0", "000002_1")]


BAD = [
    ("00006_00.jpg 00008_00.jpg\n00099_00.jpg 00008_00.jpg\n", r"line 2: no picture of the person 00099_00\.jpg in .*image \(4 pictures\)"),
    ("00006_00.jpg 00098_00.jpg\n", r"line 1: no picture of the garment 00098_00\.jpg in .*cloth \(4 pictures\)"),
    ("\n\n00006_00.jpg\n", "line 3 names no garment; add one as the second column, or use --paired"),
    ("00006_00.jpg 00008_00.jpg hat\n", "line 1 has the unknown category hat; use one of: 0, 1, 2, upper"),
    ("00006_00.jpg 00008_00.jpg 0 1\n", "line 1 has 4 columns"),
    ("00006_00.jpg 00008_00.jpg\n00006_00.jpg 00013_00.jpg\n", r"line 2 and .*line 1 both are about 00006_00"),
    ("# nothing\n\n", "holds no pairs"),
    ("", "holds no pairs"),
    ("\x00\x01 a\n", "no picture of the person"),
    ("no pairs\nat all\n", r"\(and 1 more lines are wrong\)"),
]


@pytest.mark.parametrize(("content", "said"), BAD, ids=[said for _, said in BAD])
def test_bad_lines(tmp_path: Path, content: str, said: str) -> None:
    path = trees.text(tmp_path / "mine.txt", content)
    with pytest.raises(ScdError, match=said) as caught:
        read_pairs(trees.viton(tmp_path / "set"), None, path, None)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_bad_lines_are_found_at_once(tmp_path: Path) -> None:
    path = trees.text(tmp_path / "mine.txt", "gone 00008_00\n00006_00 00008_00\n00006_00\n00008_00 gone\n")
    found = look_for_pairs(trees.viton(tmp_path / "set"), None, path, None)
    assert named(found.pairs) == [("00006_00", "00008_00")]
    assert sorted(str(problem).split("mine.txt ")[1][:6] for problem in found.problems) == ["line 1", "line 3", "line 4"]


def test_unpaired_of_a_list_that_is_not(tmp_path: Path) -> None:
    root = trees.viton(tmp_path / "set")
    for content, said in (("00006_00.jpg\n", "line 1 names no garment"), ("00006_00.jpg 00006_00.jpg\n", "everybody their own garment")):
        with pytest.raises(ScdError, match=said):
            read_pairs(root, None, trees.text(tmp_path / "test_pairs_paired.txt", content), False)
    (root / "test_pairs.txt").unlink()
    with pytest.raises(UsageError, match="has no list of pairs of its part test"):
        read_pairs(root, None, None, False)


def test_roots_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ScdError, match=r"does not exist; name its folder with --root"):
        read_pairs(tmp_path / "gone", None, None, None)
    with pytest.raises(ScdError, match=r"is a file"):
        read_pairs(trees.text(tmp_path / "file", ""), None, None, None)
    (tmp_path / "other" / "image").mkdir(parents=True)
    with pytest.raises(ScdError, match=r"no layout .* that is known; known are VITON-HD .*DressCode .*FastFit"):
        read_pairs(tmp_path / "other", None, None, None)
    root = trees.viton(tmp_path / "set", parts=("train",))
    with pytest.raises(ScdError, match="has no part test, only train; add --part train"):
        read_pairs(root, None, None, None)
    with pytest.raises(UsageError, match="is the part train, not test"):
        read_pairs(root / "train", "test", None, None)
    with pytest.raises(UsageError, match="there is no part val; use --part train or test"):
        read_pairs(root, "val", None, None)
    with pytest.raises(ScdError, match=r"nowhere\.txt does not exist, nor is it in"):
        read_pairs(root, "train", Path("nowhere.txt"), None)
    (tmp_path / "mine.txt").write_bytes(b"\xff\xfe0\x00")
    with pytest.raises(ScdError, match=r"mine\.txt cannot be read \(it is no UTF-8 text\)"):
        read_pairs(root, "train", tmp_path / "mine.txt", None)


def test_pictures_that_are_ambiguous(tmp_path: Path) -> None:
    root = trees.viton(tmp_path / "set")
    trees.picture(root / "test" / "image" / "00006_00.png")
    exact = trees.text(tmp_path / "exact.txt", "00006_00.png 00008_00.jpg\n")
    assert read_pairs(root, None, exact, None)[0].person.name == "00006_00.png"
    with pytest.raises(ScdError, match=r"has both 00006_00\.jpg and 00006_00\.png"):
        read_pairs(root, None, trees.text(tmp_path / "bare.txt", "00006_00 00008_00\n"), None)
    code = trees.dress_code(tmp_path / "code")
    trees.picture(code / "dresses" / "images" / "000001_0.jpg")
    with pytest.raises(ScdError, match=r"000001_0\.jpg is in .*upper_body.*dresses"):
        read_pairs(code, None, trees.text(tmp_path / "two.txt", "000001_0.jpg 000002_1.jpg\n"), None)


def test_empty_folders(tmp_path: Path) -> None:
    for folder in ("image", "cloth"):
        (tmp_path / folder).mkdir()
    with pytest.raises(ScdError, match="has no pictures in"):
        read_pairs(tmp_path, None, None, None)


def test_records_that_are_broken(tmp_path: Path) -> None:
    root = trees.ours(tmp_path)
    with (root / "pairs.jsonl").open("a") as file:
        file.write('{"id": "00099_00", "category": "hat"}\n')
    with pytest.raises(ScdError, match=r"pairs\.jsonl line 9 is no record of a pair"):
        train_pairs(root)
