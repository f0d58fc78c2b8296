"""How each client is driven without a screen: what it is asked, and what its own settings folder must hold before.

Everything that says where the server is comes from `pippin launch`; here is only what a person would click or type.
"""

from dataclasses import dataclass, field

TASK = "Read the file notes.txt in this folder and tell me the number in it."
SECOND_TASK = "Now tell me the colour that notes.txt names."
NOTES = "The number is 42.\nThe colour is green.\n"


@dataclass
class Client:
    turns: list[list[str]]  # the flags of each run, one conversation
    # The tool by which it reads a file and the arguments for that; {notes} is the file's path.
    reads_by: tuple[str, dict] | None = None
    # Paths that a client asks for although its own manual says that servers need not have them.
    may_be_missing: tuple = ()
    variables: dict = field(default_factory=dict)


CLIENTS = {
    "codex": Client(
        reads_by=("exec_command", {"cmd": "cat notes.txt"}),
        turns=[
            ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", TASK],
            ["exec", "resume", "--last", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
             SECOND_TASK],
        ],
    ),
    "opencode": Client(
        reads_by=("read", {"filePath": "{notes}"}),
        turns=[["run", "--auto", TASK], ["run", "--auto", "--continue", SECOND_TASK]],
        # No look-ups outside.
        variables={"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1",
                   "OPENCODE_DISABLE_LSP_DOWNLOAD": "1"},
    ),
    "qwen": Client(
        reads_by=("read_file", {"file_path": "{notes}"}),
        turns=[["--yolo", TASK], ["--yolo", "--continue", SECOND_TASK]],
    ),
    "aider": Client(
        turns=[
            ["--message", "Add a line to notes.txt that says: The shape is round.", "--yes-always", "--no-git",
             "--no-check-update", "--analytics-disable", "--no-gitignore", "notes.txt"],
            ["--message", SECOND_TASK, "--yes-always", "--no-git", "--no-check-update", "--analytics-disable",
             "--restore-chat-history", "notes.txt"],
        ],
    ),
    "claude": Client(
        reads_by=("Read", {"file_path": "{notes}"}),
        turns=[
            ["-p", TASK, "--allowedTools", "Read"],
            ["-p", "--continue", SECOND_TASK, "--allowedTools", "Read"],
        ],
    ),
}
