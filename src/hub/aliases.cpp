#include "hub/aliases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "hub/files.h"

namespace pippin::hub {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;
constexpr size_t kNameBytesMax = 96;
constexpr const char* kHead =
    "# Short names of models, as `pippin alias` keeps them: name = hf:..., ollama:... or a path.\n";

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax && text.front() != '.' &&
         text.front() != '-' && std::ranges::all_of(text, [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
         });
}

bool is_target(std::string_view text) {
  return !text.empty() && std::ranges::none_of(text, [](unsigned char c) { return c < 0x20; });
}

Result<void> write_aliases(const std::filesystem::path& file, const Aliases& aliases) {
  std::string text = kHead;
  for (const auto& [name, target] : aliases) text += name + " = " + target + "\n";
  return write_file(file, text);
}

}  // namespace

Result<Aliases> read_aliases(const std::filesystem::path& file) {
  Aliases aliases;
  const Result<std::string> text = read_file(file, kFileBytesMax);
  if (!text.ok()) {
    if (text.error().code == Code::kNotFound) return aliases;
    return text.error();
  }
  int number = 0;
  for (std::string_view rest = *text; !rest.empty();) {
    ++number;
    const size_t end = rest.find('\n');
    const std::string_view line = trim(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    const size_t equals = line.find('=');
    const std::string_view name = trim(line.substr(0, equals));
    const std::string_view target =
        equals == std::string_view::npos ? std::string_view() : trim(line.substr(equals + 1));
    if (!is_name(name) || !is_target(target))
      return fail(Code::kInvalidFile,
                  fmt::format("[hub] {}, line {}: expected 'name = model'", file.string(), number));
    aliases[std::string(name)] = target;
  }
  return aliases;
}

Result<std::string> end_of_alias(const Aliases& aliases, const std::string& name) {
  std::string at = name;
  for (size_t step = 0; step <= aliases.size(); ++step) {
    const auto alias = aliases.find(at);
    if (alias == aliases.end()) return at;
    at = alias->second;
  }
  return fail(Code::kInvalidArgument,
              fmt::format("[hub] the alias '{}' leads in a circle, to no model", name), "alias");
}

Result<void> set_alias(const std::filesystem::path& file, const std::string& name,
                       const std::string& target) {
  if (!is_name(name))
    return fail(Code::kInvalidArgument,
                fmt::format("[hub] '{}' cannot be an alias: expected letters, digits, '-', '_' and "
                            "'.'",
                            name),
                "alias");
  if (!is_target(target))
    return fail(Code::kInvalidArgument, "[hub] an alias needs a model that it means", "alias");
  ASSIGN_OR_RETURN(Aliases aliases, read_aliases(file));
  aliases[name] = target;
  RETURN_IF_ERROR(end_of_alias(aliases, name));
  return write_aliases(file, aliases);
}

Result<bool> remove_alias(const std::filesystem::path& file, const std::string& name) {
  ASSIGN_OR_RETURN(Aliases aliases, read_aliases(file));
  if (aliases.erase(name) == 0) return false;
  RETURN_IF_ERROR(write_aliases(file, aliases));
  return true;
}

}  // namespace pippin::hub
