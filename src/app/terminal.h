// The terminal: whether stdin and stdout are one, text that is safe to show there, and a line
// editor.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pippin::app {

bool is_terminal(std::FILE* file);
/// Returns the width of the terminal behind `file`, 80 if it does not say; at least 20.
size_t terminal_columns(std::FILE* file);

/// Returns the text without control characters but \n and \t, so that an answer cannot steer the
/// terminal. Works on whole UTF-8 characters; removes C1 controls as well.
std::string printable(std::string_view text);

/// Keeps what is typed while nobody reads as it was typed, for the next prompt: not echoed at once
/// and again there, and Ctrl-D not taken for an end of file. Ctrl-C stays a signal. The destructor
/// gives the terminal back as it was, and so does a signal that quits.
class TypeAhead {
 public:
  /// Requires: stdin is a terminal.
  TypeAhead();
  ~TypeAhead();
  TypeAhead(const TypeAhead&) = delete;
  TypeAhead& operator=(const TypeAhead&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Reads lines from a person: arrows, history, Ctrl-R, as libedit and ~/.editrc have it. Thread:
/// one.
class LineEditor {
 public:
  /// Loads the history, if the file is there. Requires: stdin is a terminal, under a TypeAhead.
  LineEditor(const std::string& prompt, std::filesystem::path history_file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// kInterrupted: Ctrl-C; kEnd: Ctrl-D on an empty line, or the terminal is gone.
  enum class Outcome : uint8_t { kLine, kInterrupted, kEnd };
  /// Reads one line, without its newline, and adds it to the history unless it is blank.
  Outcome read(std::string& line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pippin::app
