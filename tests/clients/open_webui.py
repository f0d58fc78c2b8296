#!/usr/bin/env python3
"""Drives Open WebUI, its server and its page in a browser, against a server of ours: list models, chat, stream, stop.

    open_webui.py [--model FILE] [--context N] [--record FILE] [--limit SECONDS] [--browser FILE]

`open-webui` must be on the PATH, `playwright` importable; --browser names a Chromium, by default the one on the PATH.
Environment and exit code: as drive.py.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import drive
import program
import recorder
from playwright.sync_api import expect, sync_playwright

# A user's own machine without a network: no accounts, no look-ups, and none of the parts that it can do without.
VARIABLES = {
    "WEBUI_AUTH": "False", "OFFLINE_MODE": "True", "HF_HUB_OFFLINE": "1", "USE_SLIM_DOCKER": "true",
    "WEBUI_SECRET_KEY": "none", "ENABLE_VERSION_UPDATE_CHECK": "False", "ANONYMIZED_TELEMETRY": "False",
}
ANSWER = ".chat-assistant"
LONG_TASK = "Count from one to a thousand in words, one number a line."


class Page:
    """What a person sees and does."""

    def __init__(self, browser, url, limit_s):
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.page.set_default_timeout(limit_s * 1000)
        self.page.goto(url)
        self.box = self.page.locator("#chat-input")
        self.box.wait_for()
        self.page.keyboard.press("Escape")  # what is new in this version

    def listed_models(self):
        self.page.locator("[id^=model-selector][id$=-button]").first.click()
        entries = self.page.locator("[data-value]:visible")
        entries.first.wait_for()
        names = entries.evaluate_all("all => all.map(one => one.dataset.value)")
        self.page.keyboard.press("Escape")
        return names

    def ask(self, text):
        self.box.click()
        self.page.keyboard.insert_text(text)
        self.page.keyboard.press("Enter")

    def said(self):
        return self.page.locator(ANSWER).last.inner_text()

    def stop_button(self):
        return self.page.get_by_role("button", name=re.compile("^stop", re.IGNORECASE))


def check(page, server, model, limit_s):
    """Raises AssertionError."""
    assert model in page.listed_models(), "the server's model is on offer"
    page.ask("Name three rivers.")
    page.page.locator(ANSWER).first.wait_for()
    seen = set()

    def whole():
        seen.add(page.said())
        return server.is_idle() and page.stop_button().count() == 0 and page.said()

    program.wait_until(whole, limit_s, "an answer")
    print(f"answer, seen in {len(seen)} states: {page.said()!r}")
    assert len(seen) > 2, "the answer is shown as it comes"
    page.ask(LONG_TASK)
    expect(page.page.locator(ANSWER)).to_have_count(2)
    program.wait_until(lambda: page.page.locator(ANSWER).count() == 2 and page.said() not in seen and
                       server.engine()["generated_tokens"] and page.stop_button().count(), limit_s, "a second answer")
    begun = server.engine()["generated_tokens"]
    program.wait_until(lambda: server.engine()["generated_tokens"] > begun + 20, limit_s, "it goes on")
    page.stop_button().click()
    program.wait_until(server.is_idle, limit_s, "the server stops with the page")
    print(f"stopped after {page.said()[-60:]!r}")


def drive_page(folder, proxy, server, arguments):
    """Returns what went wrong."""
    home, port = folder / "home", program.free_port()
    home.mkdir()
    variables = drive.environment(home, VARIABLES | {"DATA_DIR": str(folder / "data")})
    command = [str(program.program_path()), "launch", "--server", proxy.url, "open-webui", "--host", "127.0.0.1",
               "--port", str(port)]
    with open(folder / "log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            url = f"http://127.0.0.1:{port}"
            program.wait_until(lambda: is_up(url, process), arguments.limit, "Open WebUI listens")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=arguments.browser, args=["--no-sandbox"])
                page = Page(browser, url, arguments.limit)
                try:
                    check(page, server, server.engine()["id"], arguments.limit)
                except Exception:
                    page.page.screenshot(path=arguments.picture)
                    raise
                finally:
                    browser.close()
            return []
        except Exception as error:  # of the page, of the test: told, with what the server wrote
            log.seek(0)
            return [f"{type(error).__name__}: {error}", log.read()[-3000:]]
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def is_up(url, process):
    assert process.poll() is None, f"Open WebUI ended with {process.returncode}"
    try:
        with urllib.request.urlopen(url + "/health", timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=program.coder_path())
    parser.add_argument("--context", type=int, default=32768)
    parser.add_argument("--max-output", type=int, default=600, help="tokens of an answer: a small model finds no end")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--limit", type=float, default=600)
    parser.add_argument("--picture", default="open-webui.png", help="of the page, where something fails")
    parser.add_argument("--browser", default=shutil.which("chromium"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pippin-client-", dir=os.environ.get("PIPPIN_CLIENTS_FOLDER")) as scratch:
        folder = Path(scratch)
        record = arguments.record or folder / "record.jsonl"
        with program.Program("--context", arguments.context, "--max-output-tokens", arguments.max_output,
                             model=arguments.model) as server:
            with recorder.Recorder(server.url, record) as proxy:
                faults = drive_page(folder, proxy, server, arguments)
        exchanges = recorder.read(record)
    return drive.verdict(exchanges, faults, stopped=1)


if __name__ == "__main__":
    sys.exit(main())
