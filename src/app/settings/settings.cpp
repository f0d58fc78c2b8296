#include "app/settings/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <locale>
#include <sstream>

namespace pippin::app {
namespace {

Error wrong(std::string_view origin, const std::string& expected, std::string_view text) {
  return fail(Code::kInvalidArgument,
              fmt::format("{}: expected {}, got \"{}\"", origin, expected, text),
              std::string(origin));
}

// Both parse a whole text, whatever the locale, and return nothing if it is not a number.
std::optional<int64_t> parse_whole(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<double> parse_decimal(std::string_view text) {
  if (text.empty() || std::isspace(static_cast<unsigned char>(text[0])) != 0) return std::nullopt;
  std::istringstream stream{std::string(text)};
  stream.imbue(std::locale::classic());
  double number = 0;
  if (!(stream >> number) || stream.peek() != std::char_traits<char>::eof()) return std::nullopt;
  return number;
}

std::optional<double> parse_bytes(std::string_view text) {
  constexpr std::pair<std::string_view, double> kUnits[] = {
      {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}, {"KB", 1e3},
      {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12},    {"K", 0x1p10},   {"M", 0x1p20},
      {"G", 0x1p30},   {"T", 0x1p40},   {"B", 1},        {"", 1}};
  for (const auto& [unit, factor] : kUnits) {
    if (!text.ends_with(unit)) continue;
    std::string_view digits = text.substr(0, text.size() - unit.size());
    while (digits.ends_with(' ')) digits.remove_suffix(1);
    const std::optional<double> number = parse_decimal(digits);
    return number ? std::optional(*number * factor) : std::nullopt;
  }
  return std::nullopt;
}

/// Returns what stands between commas, without blanks around it.
std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!part.empty()) parts.push_back(part);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

std::vector<std::string> split(std::string_view text) {
  const std::vector<std::string_view> parts = parts_of(text);
  return {parts.begin(), parts.end()};
}

std::optional<bool> parse_switch(std::string_view text) {
  for (const std::string_view yes : {"1", "on", "true", "yes"})
    if (text == yes) return true;
  for (const std::string_view no : {"0", "off", "false", "no"})
    if (text == no) return false;
  return std::nullopt;
}

bool in_range(const Setting& setting, double value) {
  return value >= setting.low && value <= setting.high;
}

/// A whole number without a decimal point, others as they are.
std::string number_text(double value) { return fmt::format("{:.16g}", value); }

template <typename... Cases>
struct Overload : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overload(Cases...) -> Overload<Cases...>;  // before clang 17

}  // namespace

std::vector<std::string_view> Setting::flags() const {
  std::vector<std::string_view> flags = parts_of(aliases);
  if (!flag.empty()) flags.insert(flags.begin(), flag);
  return flags;
}

std::vector<std::string> Setting::variables() const {
  std::vector<std::string> variables{std::string(variable)};
  // PIPPIN_, and for some commands their name, stands before the flag's own.
  const std::string prefix(
      variable.substr(0, variable.size() + 2 - std::min(variable.size(), flag.size())));
  for (const std::string_view alias : parts_of(aliases)) {
    if (!alias.starts_with("--")) continue;
    std::string name(alias.substr(2));
    std::ranges::transform(name, name.begin(), [](unsigned char c) {
      return static_cast<char>(c == '-' ? '_' : std::toupper(c));
    });
    variables.push_back(prefix + name);
  }
  return variables;
}

Result<void> set_setting(Settings& settings, const Setting& setting, std::string_view text,
                         std::string_view origin) {
  const auto whole = [&]<typename Number>(Number& to) -> Result<void> {
    const std::optional<int64_t> number = parse_whole(text);
    if (!number || !in_range(setting, static_cast<double>(*number)))
      return wrong(origin, "a whole number from " + range_text(setting), text);
    to = static_cast<Number>(*number);
    return {};
  };
  return std::visit(Overload{
                        [&](std::string Settings::*field) -> Result<void> {
                          if (!setting.choices.empty() &&
                              !std::ranges::count(split(setting.choices), std::string(text)))
                            return wrong(origin, "one of " + std::string(setting.choices), text);
                          settings.*field = text;
                          return {};
                        },
                        [&](int Settings::*field) { return whole(settings.*field); },
                        [&](std::optional<int64_t> Settings::*field) {
                          int64_t number = 0;
                          const Result<void> result = whole(number);
                          if (result.ok()) settings.*field = number;
                          return result;
                        },
                        [&](uint64_t Settings::*field) -> Result<void> {
                          const std::optional<double> bytes = parse_bytes(text);
                          if (!bytes || !in_range(setting, *bytes))
                            return wrong(origin, "an amount of memory such as 8GiB or 700MB", text);
                          settings.*field = static_cast<uint64_t>(*bytes);
                          return {};
                        },
                        [&](bool Settings::*field) -> Result<void> {
                          const std::optional<bool> value = parse_switch(text);
                          if (!value) return wrong(origin, "on or off", text);
                          settings.*field = *value;
                          return {};
                        },
                        [&](std::vector<int> Settings::*field) -> Result<void> {
                          std::vector<int> numbers;
                          for (const std::string& part : split(text)) {
                            const std::optional<int64_t> number = parse_whole(part);
                            if (!number || !in_range(setting, static_cast<double>(*number)))
                              return wrong(origin, "whole numbers from " + range_text(setting),
                                           text);
                            numbers.push_back(static_cast<int>(*number));
                          }
                          if (numbers.empty()) return wrong(origin, "at least one number", text);
                          settings.*field = std::move(numbers);
                          return {};
                        },
                        [&](std::vector<std::string> Settings::*field) -> Result<void> {
                          settings.*field = split(text);
                          return {};
                        },
                        [&](std::optional<double> Settings::*field) -> Result<void> {
                          const std::optional<double> number = parse_decimal(text);
                          if (!number || !in_range(setting, *number))
                            return wrong(origin, "a number from " + range_text(setting), text);
                          settings.*field = *number;
                          return {};
                        },
                    },
                    setting.field);
}

Result<Settings> settings_from_environment(Command command, const Environment& environment,
                                           const Settings& defaults) {
  Settings settings = defaults;
  for (const Setting& setting : settings_table()) {
    if (!setting.is_for(command)) continue;
    for (const std::string& variable : setting.variables()) {
      const char* text = environment(variable.c_str());
      if (text == nullptr || *text == '\0') continue;
      RETURN_IF_ERROR(set_setting(settings, setting, text, variable));
      break;
    }
  }
  return settings;
}

std::string default_text(const Setting& setting) {
  if (!setting.unset.empty()) return std::string(setting.unset);
  const Settings defaults;
  return std::visit(
      Overload{
          [&](std::string Settings::*field) { return defaults.*field; },
          [&](int Settings::*field) { return fmt::to_string(defaults.*field); },
          [&](uint64_t Settings::*field) { return fmt::to_string(defaults.*field); },
          [&](bool Settings::*field) { return std::string(defaults.*field ? "on" : "off"); },
          [&](std::vector<int> Settings::*field) {
            return fmt::format("{}", fmt::join(defaults.*field, ","));
          },
          [](auto) { return std::string("none"); },
      },
      setting.field);
}

std::string range_text(const Setting& setting) {
  if (setting.is_switch()) return "on or off";
  if (!setting.choices.empty()) return std::string(setting.choices);
  if (setting.low == setting.high) return {};
  if (std::holds_alternative<uint64_t Settings::*>(setting.field)) return "8GiB, 700MB, ...";
  return number_text(setting.low) + " to " + number_text(setting.high);
}

namespace {

/// Breaks text into lines of at most `width` columns at blanks.
std::vector<std::string> wrap(std::string_view text, size_t width) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const size_t blank = std::min(text.find(' '), text.size());
    if (!lines.back().empty() && lines.back().size() + 1 + blank > width) lines.emplace_back();
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += text.substr(0, blank);
    text.remove_prefix(std::min(blank + 1, text.size()));
  }
  return lines;
}

/// The flag as it is typed: "--port PORT", "--no-prefix-cache".
std::string usage_of(const Setting& setting) {
  if (setting.flag.empty()) return std::string(setting.variable);
  if (!setting.is_switch()) return fmt::format("{} {}", setting.flag, setting.value);
  if (default_text(setting) == "off") return std::string(setting.flag);
  return fmt::format("--no-{}", setting.flag.substr(2));
}

}  // namespace

std::string settings_help(Command command) {
  constexpr size_t kIndent = 28, kWidth = 96;
  std::string text;
  for (const Setting& setting : settings_table()) {
    if (!setting.is_for(command)) continue;
    std::string sentence(setting.help);
    if (!setting.is_switch()) {
      sentence += fmt::format(" [{}]", default_text(setting));
    } else if (default_text(setting) == "on") {
      sentence[0] = static_cast<char>(std::tolower(sentence[0]));
      sentence = "Do not " + sentence;
    }
    std::string left = "  " + usage_of(setting);
    left.resize(std::max(left.size() + 2, kIndent), ' ');
    const std::string indent(kIndent, ' ');
    bool first = left.size() == kIndent;
    if (!first) text += left.substr(0, left.find_last_not_of(' ') + 1) + "\n";
    for (const std::string& line : wrap(sentence, kWidth - kIndent)) {
      text += (first ? left : indent) + line + "\n";
      first = false;
    }
  }
  return text;
}

std::string settings_markdown(Command command) {
  std::string text = "| flag | variable | meaning | range | default |\n|---|---|---|---|---|\n";
  for (const Setting& setting : settings_table()) {
    if (!setting.is_for(command)) continue;
    const std::string flag = setting.flag.empty() ? "" : fmt::format("`{}`", usage_of(setting));
    text += fmt::format("| {} | `{}` | {} | {} | {} |\n", flag, setting.variable, setting.help,
                        range_text(setting), default_text(setting));
  }
  return text;
}

std::string aliases_markdown() {
  std::string text = "| flag | also |\n|---|---|\n";
  for (const Setting& setting : settings_table()) {
    if (setting.aliases.empty()) continue;
    const std::string row = fmt::format("| `{}` | `{}` |\n", setting.flag,
                                        fmt::join(parts_of(setting.aliases), "`, `"));
    if (text.find(row) == std::string::npos) text += row;  // of several commands
  }
  return text;
}

}  // namespace pippin::app
