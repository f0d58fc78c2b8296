#include "parse/case_file.h"

#include <fstream>

#include "parse/json_check.h"

namespace pippin::parse {
namespace {

// Joins lines: the first begins the text, each further one stands behind a line end.
struct Lines {
  std::string* text;
  bool any = false;
  void add(const std::string& line) {
    if (any) *text += '\n';
    *text += line;
    any = true;
  }
};

void add_call(Case& it, const std::string& line) {
  const bool complete = line.starts_with("T ");
  const std::string rest = line.substr(complete ? 2 : 3);
  const size_t space = rest.find(' ');
  ReplayedCall call{rest.substr(0, space), space == std::string::npos ? "" : rest.substr(space + 1),
                    complete};
  const auto json = compact_json(call.arguments);
  if (complete && !json) it.fault = "the expected arguments are no JSON: " + rest;
  if (json) call.arguments = *json;
  it.expected_calls.push_back(call);
}

}  // namespace

std::vector<Case> read_cases(const std::string& path) {
  std::vector<Case> cases;
  std::string tools = "none", reasoning = "none", line;
  std::ifstream file(path);
  Lines text{}, thinking{}, content{};
  for (int number = 1; std::getline(file, line); ++number) {
    const auto value = [&](size_t prefix) {
      return line.size() > prefix ? line.substr(prefix) : "";
    };
    if (line.starts_with("@tools ")) {
      tools = line.substr(7);
    } else if (line.starts_with("@reasoning ")) {
      reasoning = line.substr(11);
    } else if (line.starts_with("== ")) {
      cases.push_back(
          {.name = line.substr(3), .line = number, .tools = tools, .reasoning = reasoning});
      text = {}, thinking = {}, content = {};
    } else if (line.empty() || line[0] == '#') {
      continue;
    } else if (cases.empty()) {
      cases.push_back({.name = "?", .line = number, .fault = "a line before the first case"});
    } else {
      Case& it = cases.back();
      text.text = &it.text, thinking.text = &it.expected_reasoning,
      content.text = &it.expected_content;
      switch (line[0]) {
        case '>':
          text.add(value(2));
          break;
        case 'R':
          thinking.add(value(2));
          break;
        case 'C':
          content.add(value(2));
          break;
        case 'T':
          add_call(it, line);
          break;
        case '!':
          it.note = true;
          break;
        case '@':
          if (line == "@inside") it.inside = true;
          if (line == "@generation_prefix") it.generation_prefix = true;
          break;
        default:
          it.fault = "unknown line: " + line;
      }
    }
  }
  return cases;
}

}  // namespace pippin::parse
