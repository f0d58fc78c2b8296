#include "app/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "app/terminal.h"
#include "base/size_text.h"

namespace pippin::app {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kNextLine = std::chrono::seconds(3);
constexpr size_t kBar = 20;

double share(const ProgressState& state) {
  if (state.total == 0) return 0;
  return std::min(1.0, static_cast<double>(state.done) / static_cast<double>(state.total));
}

/// "120 MB/s" and "4 s left"; empty while there is nothing to tell from.
std::pair<std::string, std::string> rate_and_rest(const ProgressState& state) {
  if (state.elapsed_s < 0.05 || state.done == 0) return {};
  const double rate = static_cast<double>(state.done) / state.elapsed_s;
  const double rest = static_cast<double>(state.total - std::min(state.done, state.total)) / rate;
  return {size_text(rate) + "/s", fmt::format("{:.0f} s left", std::ceil(rest))};
}

}  // namespace

std::string progress_line(const std::string& label, const ProgressState& state, size_t columns) {
  const auto filled = static_cast<size_t>(std::floor(share(state) * kBar));
  const auto [rate, rest] = rate_and_rest(state);
  const std::string parts[] = {label,
                               fmt::format("[{:-<{}}]", std::string(filled, '#'), kBar),
                               fmt::format("{:3.0f} %", std::floor(share(state) * 100)),
                               "of " + size_text(static_cast<double>(state.total)),
                               rate,
                               rest};
  std::string line;
  for (const std::string& part : parts) {
    if (part.empty()) continue;
    const std::string more = (line.empty() ? "" : "  ") + part;
    if (line.size() + more.size() > columns) break;
    line += more;
  }
  return line;
}

std::string progress_text(const std::string& label, const ProgressState& state) {
  const auto [rate, rest] = rate_and_rest(state);
  std::string text = fmt::format("{}: {:.0f} % of {}", label, std::floor(share(state) * 100),
                                 size_text(static_cast<double>(state.total)));
  if (!rate.empty()) text += fmt::format(", {}, {}", rate, rest);
  return text;
}

Progress::Progress(std::string label, std::FILE* out, bool terminal, const Clock& clock)
    : label_(std::move(label)),
      out_(out),
      terminal_(terminal),
      clock_(clock),
      start_(clock.now()),
      shown_(start_) {}

Progress::~Progress() {
  if (drawn_ && terminal_) fmt::print(out_, "\n");
}

ProgressState Progress::state(uint64_t done, uint64_t total, TimePoint now) const {
  return {done, total, std::chrono::duration<double>(now - start_).count()};
}

void Progress::update(uint64_t done, uint64_t total) {
  total_ = total;
  const TimePoint now = clock_.now();
  if (terminal_) {
    if (drawn_ && now - shown_ < kRedraw) return;
    // One column stays free: a full line would wrap. Erase to the end for a shorter one.
    const size_t columns = terminal_columns(out_) - 1;
    fmt::print(out_, "\r{}\033[K", progress_line(label_, state(done, total, now), columns));
  } else {
    if (now - shown_ < kNextLine) return;
    fmt::print(out_, "{}\n", progress_text(label_, state(done, total, now)));
  }
  std::fflush(out_);
  shown_ = now;
  drawn_ = true;
}

void Progress::finish() {
  if (terminal_) {
    if (drawn_) fmt::print(out_, "\r\033[K");
  } else {
    const double elapsed_s = std::chrono::duration<double>(clock_.now() - start_).count();
    fmt::print(out_, "{}: {} in {:.1f} s\n", label_, size_text(static_cast<double>(total_)),
               elapsed_s);
  }
  std::fflush(out_);
  drawn_ = false;
}

}  // namespace pippin::app
