// Case files: an answer's text and what it means, as data.
//
//   @tools hermes          the tool dialect of the cases below; `none` for none
//   @reasoning think       the reasoning dialect, likewise
//   == a call              a case and its name
//   @inside                the template has opened the thinking
//   @generation_prefix     the prompt ends with the dialect's generation prefix
//   > I'll look.           the answer, a line each; a line end stands between two of them
//   > <tool_call>...
//   R ..                   the thinking, likewise; absent: none
//   C I'll look.           the content
//   T f {"a": 1}           a complete call; compared without whitespace
//   T? f {"a": 1           an incomplete one, as far as it came
//   !                      a note for the log is due; without, none may come
#pragma once

#include <string>
#include <vector>

#include "parse/replay.h"

namespace pippin::parse {

struct Case {
  std::string name;
  int line = 0;
  std::string tools, reasoning;
  bool inside = false;
  bool generation_prefix = false;
  bool note = false;
  std::string text;
  std::string expected_reasoning, expected_content;
  std::vector<ReplayedCall> expected_calls;
  std::string fault;  // what is wrong with the case itself
};

std::vector<Case> read_cases(const std::string& path);

}  // namespace pippin::parse
