"""What we write, huggingface_hub sees as its own, and the other way round: files, links, refs and locks."""

import time

import pytest
from fake_hub import COMMIT, gguf, sha256

huggingface_hub = pytest.importorskip("huggingface_hub")

MODEL = gguf(data_bytes=600_000)
FILE = "sub/model-Q4_K_M.gguf"


@pytest.fixture
def repo(house):
    house.repos["org/repo"] = {FILE: MODEL, "config.json": b"{}"}
    return house


def download(puller, **options):
    return huggingface_hub.hf_hub_download(
        "org/repo", FILE, cache_dir=puller.hf, endpoint=puller.house.url("hub"), **options
    )


def test_it_sees_what_we_fetched(puller, repo):
    path = puller.pull("hf:org/repo")
    found = huggingface_hub.try_to_load_from_cache("org/repo", FILE, cache_dir=puller.hf)
    assert found == str(path)
    assert download(puller, local_files_only=True) == str(path)
    sent = repo.sent_bytes
    assert download(puller) == str(path) and repo.sent_bytes == sent
    report = huggingface_hub.scan_cache_dir(puller.hf)
    assert not report.warnings
    (only,) = report.repos
    assert (only.repo_id, only.repo_type, only.size_on_disk) == ("org/repo", "model", len(MODEL))
    (revision,) = only.revisions
    assert revision.commit_hash == COMMIT and revision.refs == {"main"}
    assert [f.blob_path.name for f in revision.files] == [sha256(MODEL)]


def test_it_removes_what_we_fetched(puller, repo):
    puller.pull("hf:org/repo")
    huggingface_hub.scan_cache_dir(puller.hf).delete_revisions(COMMIT).execute()
    assert puller("resolve", "hf:org/repo")[0] == 1 and puller("list")[1] == ""
    assert puller.pull("hf:org/repo").read_bytes() == MODEL


def test_we_see_what_it_fetched(puller, repo):
    path = download(puller)
    assert puller("resolve", "hf:org/repo:Q4_K_M")[1] == str(path)
    assert puller("list")[1].split("\t")[:2] == ["hf:org/repo:Q4_K_M", str(path)]
    sent = repo.sent_bytes
    assert str(puller.pull("hf:org/repo")) == path
    assert repo.sent_bytes - sent <= len(MODEL)  # the head alone
    code, freed, _ = puller("rm", "hf:org/repo")
    assert code == 0 and int(freed) == len(MODEL)
    assert huggingface_hub.scan_cache_dir(puller.hf).size_on_disk == 0


def test_its_lock_is_ours(puller, repo):
    from huggingface_hub.utils import WeakFileLock

    lock = puller.hf / ".locks/models--org--repo" / (sha256(MODEL) + ".lock")
    lock.parent.mkdir(parents=True)
    with WeakFileLock(lock):
        process = puller.start("pull", "hf:org/repo")
        assert "another process" in process.stderr.readline()
        assert process.poll() is None
        assert not (puller.hf / "models--org--repo/blobs" / sha256(MODEL)).exists()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err


def test_it_waits_for_our_lock(puller, repo):
    repo.faults.piece_s = 0.02
    process = puller.start("pull", "hf:org/repo", PIPPIN_TEST_CONNECTIONS=1)
    end = time.monotonic() + 30
    partial = puller.hf / "models--org--repo/blobs" / (sha256(MODEL) + ".incomplete")
    while not (partial.exists() and partial.stat().st_size > 0):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.005)
    path = download(puller)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and out.strip() == path
    # Fetched by us alone; it found the file when it had the lock.
    assert repo.sent_bytes <= 2 * len(MODEL) + (1 << 20)
