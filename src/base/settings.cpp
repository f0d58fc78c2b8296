#include "base/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <locale>
#include <sstream>

namespace pippin {
namespace {

constexpr auto kServe = static_cast<uint8_t>(Command::kServe);
constexpr auto kRun = static_cast<uint8_t>(Command::kRun);
constexpr auto kBench = static_cast<uint8_t>(Command::kBench);
constexpr uint8_t kBoth = kServe | kRun;
constexpr uint8_t kAll = kBoth | kBench;
constexpr double kBytesMax = 1ULL << 50;

using S = Settings;

// clang-format off: a row of the table stays a row
const Setting kTable[] = {
    {"--host",
     "PIPPIN_HOST",
     "HOST",
     &S::host,
     kServe,
     0,
     0,
     {},
     {},
     "Address to listen on; one beyond this machine needs --allow-unauthenticated, too"},
    {"--port",
     "PIPPIN_PORT",
     "PORT",
     &S::port,
     kServe,
     0,
     65535,
     {},
     {},
     "Port to listen on; 0 takes any free one"},
    {"--served-name",
     "PIPPIN_SERVED_NAME",
     "NAME",
     &S::served_name,
     kServe,
     0,
     0,
     {},
     "the file's name",
     "Name of the model in the API"},
    {"--context",
     "PIPPIN_CONTEXT",
     "TOKENS",
     &S::context_tokens,
     kBoth,
     0,
     1 << 24,
     {},
     "the model's own, as far as memory allows",
     "Prompt and answer together, per request"},
    {"--threads",
     "PIPPIN_THREADS",
     "N",
     &S::threads,
     kAll,
     0,
     1024,
     {},
     "all CPUs this process may use",
     "CPU threads that compute"},
    {"--memory",
     "PIPPIN_MEMORY",
     "BYTES",
     &S::memory_bytes,
     kBoth,
     0,
     kBytesMax,
     {},
     "most of what is free",
     "Memory for weights, KV cache and scratch together, as in 8GiB or 700MB"},
    {"--max-rows",
     "PIPPIN_MAX_ROWS",
     "N",
     &S::rows_max,
     kServe,
     1,
     4096,
     {},
     {},
     "Answers that are generated at the same time; more wait in order"},
    {"--max-queue",
     "PIPPIN_MAX_QUEUE",
     "N",
     &S::queue_max,
     kServe,
     0,
     1 << 20,
     {},
     {},
     "Requests that may wait; more are answered with 503"},
    {"--step-tokens",
     "PIPPIN_STEP_TOKENS",
     "TOKENS",
     &S::step_tokens_max,
     kServe,
     16,
     1 << 16,
     {},
     {},
     "Tokens that one step computes at most; a longer prompt is cut into chunks"},
    {"--prefix-cache",
     "PIPPIN_PREFIX_CACHE",
     "",
     &S::prefix_cache,
     kServe,
     0,
     0,
     {},
     {},
     "Reuse what earlier requests with the same beginning have computed"},
    {"--allow-unauthenticated",
     "PIPPIN_ALLOW_UNAUTHENTICATED",
     "",
     &S::allow_unauthenticated,
     kServe,
     0,
     0,
     {},
     {},
     "Let everyone who can reach --host use the server without a key"},
    {"--allowed-hosts",
     "PIPPIN_ALLOWED_HOSTS",
     "NAMES",
     &S::allowed_hosts,
     kServe,
     0,
     0,
     {},
     "this machine's names and addresses",
     "Further names by which clients may address the server, with commas; * allows any"},
    {"--cors-origins",
     "PIPPIN_CORS_ORIGINS",
     "ORIGINS",
     &S::cors_origins,
     kServe,
     0,
     0,
     {},
     "pages on this machine",
     "Web pages that may call the API from a browser, with commas; * allows any"},
    {"--drain",
     "PIPPIN_DRAIN",
     "SECONDS",
     &S::drain_s,
     kServe,
     0,
     3600,
     {},
     {},
     "Time for running answers to end after a first SIGINT or SIGTERM; a second one quits at once"},
    {"--system",
     "PIPPIN_SYSTEM",
     "TEXT",
     &S::system_prompt,
     kRun,
     0,
     0,
     {},
     "none",
     "System prompt of the conversation"},
    {"--temperature",
     "PIPPIN_TEMPERATURE",
     "T",
     &S::temperature,
     kRun,
     0,
     2,
     {},
     "the model's own",
     "How freely tokens are chosen; 0 always takes the most probable"},
    {"--max-tokens",
     "PIPPIN_MAX_TOKENS",
     "N",
     &S::output_tokens_max,
     kRun,
     0,
     1 << 24,
     {},
     "what the context leaves",
     "Tokens of an answer at most"},
    {"--seed",
     "PIPPIN_SEED",
     "N",
     &S::seed,
     kRun,
     0,
     9007199254740992.0,
     {},
     "drawn anew",
     "Makes answers repeatable"},
    {"--device",
     "PIPPIN_BENCH_DEVICE",
     "DEVICE",
     &S::bench_device,
     kBench,
     0,
     0,
     "cpu, cuda",
     {},
     "Where the model runs; cuda needs a build with the preset of that name"},
    {"--prompts",
     "PIPPIN_BENCH_PROMPTS",
     "LIST",
     &S::bench_prompts,
     kBench,
     1,
     1 << 20,
     {},
     {},
     "Lengths of prompts to compute, with commas"},
    {"--generate",
     "PIPPIN_BENCH_GENERATE",
     "N",
     &S::bench_generate,
     kBench,
     0,
     1 << 20,
     {},
     {},
     "Tokens to generate in each row; 0 leaves generation out"},
    {"--depth",
     "PIPPIN_BENCH_DEPTH",
     "N",
     &S::bench_depth,
     kBench,
     1,
     1 << 20,
     {},
     {},
     "Tokens in each row's cache before it generates"},
    {"--rows",
     "PIPPIN_BENCH_ROWS",
     "LIST",
     &S::bench_rows,
     kBench,
     1,
     256,
     {},
     {},
     "Rows that generate together, with commas"},
    {"--repeats",
     "PIPPIN_BENCH_REPEATS",
     "N",
     &S::bench_repeats,
     kBench,
     1,
     1000,
     {},
     {},
     "Runs of each test; the median is told"},
    {"--json",
     "PIPPIN_BENCH_JSON",
     "",
     &S::bench_json,
     kBench,
     0,
     0,
     {},
     {},
     "Print JSON lines instead of a table"},
    {"--log",
     "PIPPIN_LOG",
     "LEVEL",
     &S::log_level,
     kAll,
     0,
     0,
     "debug, info, warn, error, off",
     {},
     "How much is written to stderr"},
    {"",
     "PIPPIN_DEFAULT_MODEL",
     "FILE",
     &S::default_model,
     kAll,
     0,
     0,
     {},
     "SmolLM2-135M-Instruct in the models folder",
     "GGUF file that is used where no MODEL is named"},
};
// clang-format on

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

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!part.empty()) parts.emplace_back(part);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
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
std::string number_text(double value) { return fmt::format("{:.15g}", value); }

template <typename... Cases>
struct Overload : Cases... {
  using Cases::operator()...;
};

}  // namespace

std::span<const Setting> settings_table() { return kTable; }

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

Result<Settings> settings_from_environment(Command command, const Environment& environment) {
  Settings settings;
  for (const Setting& setting : kTable) {
    if (!setting.is_for(command)) continue;
    const char* text = environment(std::string(setting.variable).c_str());
    if (text == nullptr || *text == '\0') continue;
    RETURN_IF_ERROR(set_setting(settings, setting, text, setting.variable));
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
  for (const Setting& setting : kTable) {
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
  for (const Setting& setting : kTable) {
    if (!setting.is_for(command)) continue;
    const std::string flag = setting.flag.empty() ? "" : fmt::format("`{}`", usage_of(setting));
    text += fmt::format("| {} | `{}` | {} | {} | {} |\n", flag, setting.variable, setting.help,
                        range_text(setting), default_text(setting));
  }
  return text;
}

}  // namespace pippin
