"""Calls of std::filesystem that throw: a name too long, or a folder that may not be read, would end the process."""

import re

NAMES = """absolute canonical weakly_canonical copy copy_file create_directory create_directories create_symlink
current_path equivalent exists file_size hard_link_count is_directory is_empty is_regular_file is_symlink
last_write_time permissions read_symlink relative remove remove_all rename resize_file space status symlink_status
temp_directory_path""".split()
CALL = re.compile(rf"\b(?:fs|std::filesystem)::({'|'.join(NAMES)})\(")
CODE = re.compile(r"^(?:ec|\w*error\w*|ignored|\w+_code)$")


def last_argument(text, begin):
    """Returns the last argument of the call whose arguments begin there, without blanks."""
    depth, start = 0, begin
    for at in range(begin, len(text)):
        if text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            if depth == 0:
                return text[start:at].strip()
            depth -= 1
        elif text[at] == "," and depth == 0:
            start = at + 1
    return ""


def check_throwing(tree, path, text):
    if not path.startswith("src/"):
        return
    for call in CALL.finditer(text):
        if not CODE.match(last_argument(text, call.end())):
            tree.breach(path, text.count("\n", 0, call.start()) + 1, "throwing",
                        f"std::filesystem::{call[1]} without a std::error_code throws")
