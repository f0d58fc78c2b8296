"""Finding, listing and removing models that are here."""

from fake_hub import COMMIT, gguf, sha256

MODEL = gguf()


def add_alias(puller, text):
    file = puller.home / ".config/pippin/aliases"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def add_file(puller, name):
    file = puller.home / ".local/share/pippin/models" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(MODEL)
    return file


def test_an_alias_means_any_kind_of_name(puller, house):
    house.repos["org/repo"] = {"m-Q4_K_M.gguf": MODEL}
    path = puller.pull("hf:org/repo")
    file = add_file(puller, "tiny.gguf")
    add_alias(puller, f"# mine\ncoder = hf:org/repo:Q4_K_M\nown = {file}\nlost = ollama:nothing\n\nsmall=tiny\n")
    assert puller("resolve", "coder")[1] == str(path)
    assert puller("resolve", "own")[1] == str(file)
    assert puller("resolve", "small")[1] == str(file)
    assert "pippin pull ollama:nothing:latest" in puller("resolve", "lost")[2]
    listed = {line.split("\t")[0]: line.split("\t")[3] for line in puller("list")[1].splitlines()}
    assert listed == {"hf:org/repo:Q4_K_M": "coder", "tiny": "own,small"}


def test_a_broken_file_of_aliases_is_named(puller, house):
    add_alias(puller, "a = hf:org/repo\nno equals sign\n")
    code, _, err = puller("resolve", "a")
    assert code == 1 and "line 2" in err


def test_removing_an_alias_keeps_its_model(puller, house):
    file = add_file(puller, "tiny.gguf")
    add_alias(puller, "small = tiny\n")
    assert puller("rm", "small")[:2] == (0, "0")
    assert file.exists() and puller("resolve", "small")[0] == 1
    assert puller("rm", "tiny")[0] == 0 and not file.exists()


def test_a_file_of_ones_own_is_not_removed(puller, house, tmp_path):
    file = tmp_path / "mine.gguf"
    file.write_bytes(MODEL)
    code, _, err = puller("rm", str(file))
    assert code == 1 and "of your own" in err and file.exists()


def test_removing_one_quant_keeps_the_other(puller, house):
    house.repos["org/repo"] = {"m-Q4_K_M.gguf": MODEL, "m-Q8_0.gguf": gguf(seed=b"8")}
    puller.pull("hf:org/repo:Q8_0")
    puller.pull("hf:org/repo:Q4_K_M")
    assert puller("rm", "hf:org/repo:Q8_0")[0] == 0
    assert puller.blobs() == [sha256(MODEL)]
    assert puller("list")[1].split("\t")[0] == "hf:org/repo:Q4_K_M"
    assert puller("rm", "hf:org/repo")[0] == 0
    assert not (puller.hf / "models--org--repo").exists()


def test_links_out_of_the_cache_are_read_and_not_followed_to_remove(puller, house, tmp_path):
    store = tmp_path / "shared"
    store.write_bytes(MODEL)
    snapshot = puller.hf / "models--org--repo/snapshots" / COMMIT
    (snapshot.parent.parent / "refs").mkdir(parents=True)
    (snapshot.parent.parent / "refs/main").write_text(COMMIT)
    snapshot.mkdir(parents=True)
    (snapshot / "m-Q4_K_M.gguf").symlink_to(store)
    assert puller("resolve", "hf:org/repo")[1] == str(snapshot / "m-Q4_K_M.gguf")
    assert puller("rm", "hf:org/repo")[:2] == (0, "0")
    assert store.exists() and puller("resolve", "hf:org/repo")[0] == 1


def test_a_cache_in_disorder_is_passed_over(puller, house):
    for path in ("models--", "models--a", "models--..--b/snapshots/x", "models--a--b/snapshots/evil", "datasets--a--b"):
        (puller.hf / path).mkdir(parents=True)
    (puller.hf / "models--a--b/snapshots/evil/m-Q4_K_M.gguf").symlink_to("../../blobs/nothing")
    (puller.hf / "models--a--b/refs").mkdir()
    (puller.hf / "models--a--b/refs/main").write_text("../../../etc")
    assert puller("list") == (0, "", "")
    assert puller("resolve", "hf:a/b")[0] == 1
