"""The titles of commits: those behind the commit that brought this file are checked."""

import re
import subprocess

TITLE_COLUMNS_MAX = 59
THIS_FILE = "tools/tidy_rules/titles.py"
# Titles that were written as commits were joined, and stand on the main branch.
PAST = {"8a5bb7d019a9336c354063b33f866c0208367296"}


def git(root, *arguments):
    run = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    return run.stdout.splitlines() if run.returncode == 0 else []


def new_commits(root):
    """Returns (hash, title) of each commit behind the one that added this file; none without that history."""
    added = git(root, "log", "--diff-filter=A", "--format=%H", "--", THIS_FILE)
    if not added or (git(root, "rev-parse", "--is-shallow-repository") or ["true"]) == ["true"]:
        return []
    lines = git(root, "log", "--no-merges", "--format=%H %s", f"{added[-1]}..HEAD")
    return [(commit[:9], title) for commit, title in (line.split(" ", 1) for line in lines) if commit not in PAST]


def check_titles(tree):
    for commit, title in new_commits(tree.root):
        if len(title) > TITLE_COLUMNS_MAX:
            tree.breach("commit " + commit, 1, "title", f"{len(title)} columns, at most {TITLE_COLUMNS_MAX}: {title}")
        if not re.match(r"[^\s:]+(, [^\s:]+)*: \S", title):
            tree.breach("commit " + commit, 1, "title", f"begins with its folder (`engine: ...`): {title}")
