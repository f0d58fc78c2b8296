"""Pulls from a hub that is honest, and from one that cuts, lies, refuses and forgets."""

import json
import os
import random
import resource
import signal
import time
from pathlib import Path

import pytest
from fake_hub import COMMIT, gguf, git_sha1, sha256

FIXTURES = Path(__file__).parents[1] / "models/fixtures"
MODEL = gguf(data_bytes=3_000_000)
NAME = "hf:org/repo:Q4_K_M"
FILE = "model-Q4_K_M.gguf"


@pytest.fixture
def repo(house):
    house.repos["org/repo"] = {FILE: MODEL, "config.json": b'{"architectures": ["LlamaForCausalLM"]}'}
    return house


def folder(puller, repo="org--repo"):
    return puller.hf / f"models--{repo}"


def incomplete(puller):
    return folder(puller) / "blobs" / (sha256(MODEL) + ".incomplete")


def check_whole(puller, path, data=MODEL, name=FILE):
    """The file, and the layout around it, are as huggingface_hub has them."""
    assert path.read_bytes() == data
    assert path == folder(puller) / "snapshots" / COMMIT / name
    blob = folder(puller) / "blobs" / sha256(data)
    assert os.readlink(path) == os.path.relpath(blob, path.parent)
    assert (folder(puller) / "refs/main").read_text() == COMMIT
    assert [n for n in puller.blobs() if n.endswith(".incomplete")] == []


def test_a_file_arrives_and_is_not_asked_for_again(puller, repo):
    path = puller.pull(NAME)
    check_whole(puller, path)
    # Parts came at the same time, and each byte once: only the head was read before.
    assert len(repo.requests("storage")) > 4
    assert repo.sent_bytes < 2 * len(MODEL)
    sent = repo.sent_bytes
    assert puller.pull(NAME) == path
    assert repo.sent_bytes - sent <= 1 << 20  # the head
    assert puller("resolve", NAME)[1] == str(path)


@pytest.mark.parametrize(
    "name, files, expected",
    [
        ("hf:org/repo", ["m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-F16.gguf"], "m-Q4_K_M.gguf"),
        ("hf:org/repo", ["m-Q8_0.gguf", "m-Q2_K.gguf"], "m-Q8_0.gguf"),
        ("hf:org/repo", ["m-Q5_K_M.gguf", "m-Q2_K.gguf", "mmproj-Q4_K_M.gguf"], "m-Q2_K.gguf"),
        ("hf:org/repo:q5_k_m", ["m-Q5_K_M.gguf", "m-Q2_K.gguf"], "m-Q5_K_M.gguf"),
        ("hf:org/repo:UD-Q4_K_XL", ["m-UD-Q4_K_XL.gguf", "m-Q2_K.gguf"], "m-UD-Q4_K_XL.gguf"),
        ("hf:org/repo:sub/m-Q2_K.gguf", ["m-Q2_K.gguf", "sub/m-Q2_K.gguf"], "sub/m-Q2_K.gguf"),
        ("hf:org/repo@refs/pr/1:Q2_K", ["m-Q2_K.gguf"], "m-Q2_K.gguf"),
    ],
)
def test_the_right_file_is_chosen(puller, house, name, files, expected):
    house.repos["org/repo"] = {file: gguf(seed=file.encode()) for file in files}
    path = puller.pull(name)
    assert path.read_bytes() == house.repos["org/repo"][expected]
    assert str(path).endswith(f"/snapshots/{COMMIT}/{expected}")


def test_a_quant_that_is_not_there_names_those_that_are(puller, repo):
    error = puller.fail("hf:org/repo:Q3_K_S")
    assert error.startswith("not_found") and "Q3_K_S" in error and "Q4_K_M" in error


def test_shards_are_one_model(puller, house):
    shards = {f"big/m-Q4_K_M-0000{i}-of-00003.gguf": gguf(seed=b"%d" % i) for i in (1, 2, 3)}
    house.repos["org/repo"] = shards | {"m-Q2_K-00001-of-00002.gguf": gguf()}
    path = puller.pull("hf:org/repo:Q4_K_M")
    assert path.name == "m-Q4_K_M-00001-of-00003.gguf"
    for name, data in shards.items():
        assert (folder(puller) / "snapshots" / COMMIT / name).read_bytes() == data
    listed = puller("list")[1].split("\t")
    assert listed[0] == "hf:org/repo:Q4_K_M" and int(listed[2]) == sum(map(len, shards.values()))
    # A model of which a shard is missing is none.
    assert "Q4_K_M" in puller.fail("hf:org/repo:Q2_K")


def test_small_files_have_gits_hash_and_no_redirect(puller, house):
    data = gguf(data_bytes=64, vocabulary=2)
    assert len(data) < 1000
    house.repos["org/repo"] = {FILE: data}
    assert puller.pull(NAME).read_bytes() == data
    assert puller.blobs() == [git_sha1(data)]


# --- Cut connections ---


def test_cut_connections_are_taken_up_again(puller, repo):
    draw = random.Random(7)
    repo.faults.cut_after = lambda _: draw.choice([0, 1, 5_000, 100_000, 1 << 30])
    check_whole(puller, puller.pull(NAME, PIPPIN_TEST_ATTEMPTS=12))


def test_a_connection_that_always_breaks_is_an_error_and_what_came_stays(puller, repo):
    repo.faults.cut_after = lambda n: 1 << 30 if n < 3 else 0
    error = puller.fail(NAME, PIPPIN_TEST_CONNECTIONS=1)
    assert "given up after 4 tries" in error and error.startswith(("timeout", "unavailable"))
    kept = incomplete(puller).read_bytes()
    assert 0 < len(kept) < len(MODEL) and MODEL.startswith(kept)
    repo.faults.cut_after = None
    sent = repo.sent_bytes
    check_whole(puller, puller.pull(NAME))
    assert repo.sent_bytes - sent <= len(MODEL) - len(kept) + (1 << 20)


def test_a_stalled_connection_is_given_up(puller, repo):
    repo.faults.first_s = 30
    started = time.monotonic()
    assert "the connection broke" in puller.fail(NAME, PIPPIN_TEST_STALL_MS=1000, PIPPIN_TEST_ATTEMPTS=2)
    assert time.monotonic() - started < 25


def test_kill_at_any_moment_then_resume(puller, repo):
    draw = random.Random(11)
    repo.faults.piece_s = 0.002
    kills, path = 0, None
    while path is None:
        process = puller.start("pull", NAME)
        # Later each time, so that it ends, too; without a kill from the thirtieth on.
        end = time.monotonic() + (draw.uniform(0.0, 0.06 + 0.01 * kills) if kills < 30 else 60)
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        out, err = process.communicate()
        if process.returncode == 0:
            path = out.strip()
            break
        assert process.returncode == -signal.SIGKILL, err
        final = folder(puller) / "blobs" / sha256(MODEL)
        if final.exists():
            assert final.read_bytes() == MODEL
        elif incomplete(puller).exists():
            assert MODEL.startswith(incomplete(puller).read_bytes())
    assert kills >= 3
    check_whole(puller, folder(puller) / "snapshots" / COMMIT / FILE)
    assert path == str(folder(puller) / "snapshots" / COMMIT / FILE)


def test_cancelling_keeps_what_came(puller, repo):
    repo.faults.piece_s = 0.005
    assert puller.fail(NAME, PIPPIN_TEST_CANCEL_AT=1_000_000).startswith("cancelled")
    kept = incomplete(puller).read_bytes()
    assert 0 < len(kept) < len(MODEL) and MODEL.startswith(kept)
    check_whole(puller, puller.pull(NAME))


# --- Lies ---


def test_other_bytes_than_named_are_never_kept(puller, repo):
    repo.faults.altered = True
    error = puller.fail(NAME)
    assert error.startswith("invalid_file") and sha256(MODEL) in error
    assert puller.blobs() == []
    repo.faults.altered = False
    check_whole(puller, puller.pull(NAME))


@pytest.mark.parametrize("left", [b"garbage" * 1000, MODEL[:500_000] + b"\0" * 100_000, MODEL + b"more"])
def test_what_was_left_wrong_is_fetched_again(puller, repo, left):
    incomplete(puller).parent.mkdir(parents=True)
    incomplete(puller).write_bytes(left)
    check_whole(puller, puller.pull(NAME))


def test_a_beginning_that_another_tool_left_is_gone_on_from(puller, repo):
    incomplete(puller).parent.mkdir(parents=True)
    incomplete(puller).write_bytes(MODEL[:2_000_000])
    check_whole(puller, puller.pull(NAME))
    assert repo.sent_bytes < len(MODEL) - 2_000_000 + (1 << 20) + 100_000


@pytest.mark.parametrize("kind", ["none", "offset", "long", "total", "unit", "short"])
def test_wrong_ranges_do_not_break_a_file(puller, repo, kind):
    repo.faults.ranges = kind
    check_whole(puller, puller.pull(NAME))


def test_ranges_that_turn_wrong_later(puller, repo):
    """The head came right, then each range comes wrong: the whole file is fetched in one answer."""

    def cut(_):
        repo.faults.ranges = "offset"
        return 1 << 30

    repo.faults.cut_after = cut
    check_whole(puller, puller.pull(NAME))


@pytest.mark.parametrize("more", [-1000, 1000])
def test_a_wrong_size_in_the_listing_is_an_error(puller, repo, more):
    def listing(answer):
        answer["siblings"][0]["lfs"]["size"] += more
        return answer

    repo.faults.listing = listing
    assert puller.fail(NAME).startswith(("invalid_file", "unavailable"))
    assert sha256(MODEL) not in puller.blobs()


def test_hostile_names_are_left_out(puller, repo, tmp_path):
    def listing(answer):
        for name in ("../../evil-Q4_K_M.gguf", "/etc/evil-Q4_K_M.gguf", "a/../../evil-Q4_K_M.gguf", "a\\evil.gguf", ""):
            answer["siblings"].insert(0, dict(answer["siblings"][0], rfilename=name))
        return answer

    repo.faults.listing = listing
    check_whole(puller, puller.pull(NAME))
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    "listing",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"sha": "main", "siblings": []}',
        b'{"sha": "../../../etc", "siblings": []}',
        b'{"sha": 5, "siblings": {}}',
        b'{"sha": "%s", "siblings": 3}' % COMMIT.encode(),
        b"[" * 100_000,
        b'{"sha": "' + b"\xff" * 40 + b'"}',
    ],
)
def test_wrong_listings_are_errors(puller, repo, listing):
    repo.faults.listing = lambda _: listing
    assert puller.fail(NAME).startswith("invalid_file")
    assert puller.blobs() == []


def test_siblings_of_wrong_kinds_are_passed_over(puller, repo):
    def listing(answer):
        answer["siblings"] += [None, 5, "x.gguf", {"rfilename": 5}, {"rfilename": "y.gguf", "size": -5, "lfs": []}]
        return answer

    repo.faults.listing = listing
    check_whole(puller, puller.pull(NAME))


def test_a_mirror_that_lists_names_only_is_asked_for_each_file(puller, repo):
    repo.faults.bare_listing = True
    check_whole(puller, puller.pull(NAME))


@pytest.mark.parametrize("etag", ["../../../../evil", "a/b", ".hidden", "x" * 300, '"'])
def test_an_etag_that_is_no_name_is_refused(puller, repo, tmp_path, etag):
    repo.faults.bare_listing = True
    repo.faults.etag = etag
    assert puller.fail(NAME).startswith("invalid_file")
    assert not list(tmp_path.rglob("*evil*")) and puller.blobs() == []


def test_a_lying_etag_is_found_out(puller, repo):
    repo.faults.bare_listing = True
    repo.faults.etag = "0" * 64
    assert "hash" in puller.fail(NAME)
    assert puller.blobs() == []


# --- Links and redirects ---


def test_links_that_expire_are_asked_for_anew(puller, repo):
    repo.faults.link_uses = 2
    check_whole(puller, puller.pull(NAME, PIPPIN_TEST_ATTEMPTS=10))
    assert len(repo.requests("hub", "resolve")) >= 5


def test_a_link_that_never_works_is_an_error(puller, repo):
    repo.faults.link_uses = 0
    error = puller.fail(NAME)
    assert error.startswith("permission_denied") and "403" in error


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:1/", "//", "http://"])
def test_redirects_leave_http_for_nothing(puller, repo, to):
    repo.faults.statuses = [("hub GET .*resolve", 302, {"Location": to}, b"", 99)]
    assert puller.fail(NAME).startswith(("invalid_argument", "unavailable", "timeout"))
    assert puller.blobs() == []


def test_redirects_in_a_circle_end(puller, repo):
    repo.faults.statuses = [("hub GET", 302, {"Location": "/api/models/org/repo/revision/main"}, b"", 999)]
    assert "redirects" in puller.fail(NAME)


def test_the_token_goes_to_the_hub_alone(puller, repo):
    repo.gated.add("org/repo")
    check_whole(puller, puller.pull(NAME, HF_TOKEN="hf_good"))
    assert all(r[3].get("Authorization") == "Bearer hf_good" for r in repo.requests("hub"))
    assert all("Authorization" not in r[3] for r in repo.requests("storage"))


def test_the_token_file_is_read(puller, repo):
    repo.gated.add("org/repo")
    token = puller.home / ".cache/huggingface/token"
    token.parent.mkdir(parents=True)
    token.write_text("hf_good\n")
    check_whole(puller, puller.pull(NAME))
    # What is no token is not sent.
    token.write_text("hf_good\r\nX-Evil: 1")
    puller("pull", NAME)
    assert not [r for r in repo.requests("hub") if "X-Evil" in r[3]]


# --- Refusals ---


def test_gated_repositories_say_what_to_do(puller, repo):
    repo.gated.add("org/repo")
    without = puller.fail(NAME)
    assert without.startswith("unauthenticated") and "accept its terms" in without and "HF_TOKEN" in without
    with_one = puller.fail(NAME, HF_TOKEN="hf_other")
    assert with_one.startswith("permission_denied") and "no access yet" in with_one


def test_what_does_not_exist_is_not_found(puller, repo):
    assert "has no org/other" in puller.fail("hf:org/other")
    assert "no revision 'v9'" in puller.fail("hf:org/repo@v9")
    repo.faults.statuses = [("hub GET /api", 404, {}, b"", 99)]
    assert puller.fail(NAME).startswith("not_found")


def test_a_pause_that_is_asked_for_is_made(puller, repo):
    repo.faults.statuses = [
        ("hub GET /api", 429, {"Retry-After": "1"}, b"slow down", 1),
        ("storage GET", 429, {"RateLimit": '"resolvers";r=0;t=1'}, b"", 1),
        ("storage GET", 503, {}, b"", 2),
        ("hub GET /api", 500, {}, b"", 1),
    ]
    started = time.monotonic()
    code, out, err = puller("pull", NAME)
    assert code == 0 and "asks to wait 1 s" in err
    assert time.monotonic() - started > 1.9


def test_too_long_a_pause_ends_the_pull(puller, repo):
    repo.faults.statuses = [("hub GET /api", 429, {"Retry-After": "3600"}, b"", 9)]
    error = puller.fail(NAME)
    assert error.startswith("overloaded") and "3600 s" in error


def test_a_server_that_stays_broken_is_an_error(puller, repo):
    repo.faults.statuses = [("storage GET", 500, {}, b"<html>oops</html>", 99)]
    error = puller.fail(NAME)
    assert error.startswith("unavailable") and "500" in error and "oops" not in error


def test_endless_answers_end(puller, repo):
    repo.faults.endless = "/api/"
    assert puller.fail(NAME).startswith("too_large")
    repo.faults.endless = "/blob"
    assert puller.fail(NAME).startswith(("invalid_file", "unsupported"))
    assert puller.blobs() == []


def test_no_server_at_all(puller, repo):
    error = puller.fail(NAME, HF_ENDPOINT="http://127.0.0.1:1")
    assert error.startswith("unavailable") and "cannot be reached" in error


def test_nothing_is_asked_offline(puller, repo):
    assert "HF_HUB_OFFLINE" in puller.fail(NAME, HF_HUB_OFFLINE=1)
    assert repo.asked == []


# --- Before the download ---


def test_what_cannot_be_served_is_refused_by_name(puller, house):
    house.repos["org/repo"] = {FILE: gguf("mamba", data_bytes=8 << 20)}
    error = puller.fail(NAME, PIPPIN_TEST_ARCHITECTURES="llama,qwen2")
    assert error.startswith("unsupported") and "mamba" in error
    assert house.sent_bytes <= 1 << 20 and puller.blobs() == []


def test_a_long_head_is_read_to_its_end(puller, house):
    data = gguf("mamba", data_bytes=8 << 20, vocabulary=200_000)
    house.repos["org/repo"] = {FILE: data}
    assert "mamba" in puller.fail(NAME, PIPPIN_TEST_ARCHITECTURES="llama")
    assert puller.pull(NAME).read_bytes() == data


def test_a_file_that_is_no_gguf_is_refused(puller, house):
    house.repos["org/repo"] = {FILE: b"<html>" * 100_000}
    assert "magic" in puller("pull", NAME)[2]
    assert puller.blobs() == []


def saved_model(name):
    """The files of a folder of safetensors, with some that no loader needs."""
    folder = FIXTURES / name
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    foreign = {"adapter_model.safetensors": bytes(100), "onnx/model.safetensors": bytes(90)}
    return files | foreign | {"README.md": b"a card"}


@pytest.mark.parametrize("name, shards", [("hf/llama_tied", 1), ("hf/qwen3", 5), ("mlx/qwen2", 1)])
def test_a_model_of_safetensors_arrives_whole(puller, house, name, shards):
    house.repos["org/repo"] = files = saved_model(name)
    place = puller.pull("hf:org/repo")
    assert place == folder(puller) / "snapshots" / COMMIT
    wanted = set(files) - {"adapter_model.safetensors", "onnx/model.safetensors", "expected.safetensors"}
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {name: files[name] for name in wanted}
    assert sum(path.suffix == ".safetensors" for path in place.iterdir()) == shards
    assert puller("resolve", "hf:org/repo")[1] == str(place)
    assert puller("list")[1].split("\t")[:2] == ["hf:org/repo", str(place)]
    sent = house.sent_bytes
    assert puller.pull("hf:org/repo") == place
    assert house.sent_bytes - sent <= 1 << 20
    next(place.glob("*.safetensors")).unlink()
    assert puller("list")[1] == "" and "pippin pull" in puller("resolve", "hf:org/repo")[2]
    puller.pull("hf:org/repo")
    assert puller("rm", "hf:org/repo")[0] == 0 and not folder(puller).exists()


@pytest.mark.parametrize(
    "change, says",
    [
        ({"model_type": "nonesuch"}, "'nonesuch' is not supported yet"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "bitsandbytes"),
        ({"quantization_config": {"quant_method": "awq", "bits": 3, "group_size": 128}}, "quantization_config.bits"),
        ({"rope_parameters": {"rope_type": "spiral", "factor": 2}}, "'spiral'"),
        ({"hidden_size": "many"}, "hidden_size"),
    ],
)
def test_safetensors_that_cannot_be_served_are_refused_by_name(puller, house, change, says):
    files = saved_model("hf/llama_untied")
    files["config.json"] = json.dumps(json.loads(files["config.json"]) | change).encode()
    house.repos["org/repo"] = files
    assert says in puller.fail("hf:org/repo")
    assert puller.blobs() == []


def test_a_repository_without_a_model_says_what_is_served(puller, house):
    house.repos["org/repo"] = {"pytorch_model.bin": bytes(5000), "config.json": b"{}"}
    assert "safetensors with a config.json; look for a repository of them" in puller.fail("hf:org/repo")
    house.repos["org/repo"] = saved_model("hf/qwen2")
    assert "no GGUF files" in puller.fail("hf:org/repo:Q4_K_M")


def test_a_disk_that_is_too_small_is_named_beforehand(puller, repo):
    def listing(answer):
        answer["siblings"][0]["lfs"]["size"] = 900 << 40
        return answer

    repo.faults.listing = listing
    # The head's range has another size then; without a redirect's check it is the space that counts.
    repo.faults.ranges = "none"
    error = puller.fail(NAME)
    assert "the disk is too full" in error and "990 TB are needed" in error
    assert puller.blobs() == []


def test_a_disk_that_becomes_full_keeps_what_came(puller, repo):
    limit = 1_000_000
    error = puller.fail(NAME, before_start=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert error.startswith("unavailable") and "the disk is full" in error and "are free" in error
    assert incomplete(puller).read_bytes() == MODEL[:limit]
    check_whole(puller, puller.pull(NAME))


# --- Company ---


def test_three_pulls_at_once_fetch_it_once(puller, repo):
    repo.faults.piece_s = 0.002
    running = [puller.start("pull", NAME) for _ in range(3)]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    check_whole(puller, folder(puller) / "snapshots" / COMMIT / FILE)
    assert repo.sent_bytes < 2 * len(MODEL) + 3 * (1 << 20)
