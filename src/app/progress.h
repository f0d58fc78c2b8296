// Progress: how far long work is, with its rate and the time left: one line redrawn on a terminal,
// else a line now and then. Thread: update() from one thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "base/clock.h"

namespace pippin::app {

/// Where the work stands. Units: bytes, seconds since its start.
struct ProgressState {
  uint64_t done = 0, total = 0;
  double elapsed_s = 0;
};

/// Returns "loading smol  [########------------]  41 %  40 of 98 MB  120 MB/s  1 s left", cut to
/// `columns`.
std::string progress_line(const std::string& label, const ProgressState& state, size_t columns);
/// Returns "loading smol: 41 %, 40 of 98 MB, 120 MB/s, 1 s left".
std::string progress_text(const std::string& label, const ProgressState& state);

class Progress {
 public:
  /// Borrows `clock`. `terminal`: whether `out` is one.
  Progress(std::string label, std::FILE* out, bool terminal, const Clock& clock);
  /// Ends the line as it stands, if finish() was not called.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(uint64_t done, uint64_t total);
  /// Clears the line on a terminal; elsewhere says how long it took.
  void finish();

 private:
  ProgressState state(uint64_t done, uint64_t total, TimePoint now) const;

  const std::string label_;
  std::FILE* const out_;
  const bool terminal_;
  const Clock& clock_;
  const TimePoint start_;
  TimePoint shown_;
  uint64_t total_ = 0;
  bool drawn_ = false;
};

}  // namespace pippin::app
