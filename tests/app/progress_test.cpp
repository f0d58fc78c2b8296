#include "app/progress.h"

#include <gtest/gtest.h>

#include <array>

namespace pippin::app {
namespace {

TEST(ProgressLine, TellsShareRateAndRest) {
  EXPECT_EQ(progress_line("loading m", {40'000'000, 100'000'000, 0.5}, 100),
            "loading m  [########------------]   40 %  of 100 MB  80 MB/s  1 s left");
  EXPECT_EQ(progress_line("m", {0, 0, 0}, 100), "m  [--------------------]    0 %  of 0 B");
  EXPECT_EQ(progress_line("m", {5, 5, 1}, 100),
            "m  [####################]  100 %  of 5 B  5 B/s  0 s left");
  EXPECT_EQ(progress_line("m", {9, 5, 1}, 100),
            "m  [####################]  100 %  of 5 B  9 B/s  0 s left");
}

TEST(ProgressLine, FitsItsColumns) {
  for (size_t columns = 0; columns < 90; ++columns)
    EXPECT_LE(progress_line("loading m", {40'000'000, 100'000'000, 0.5}, columns).size(), columns);
}

TEST(ProgressText, IsPlain) {
  EXPECT_EQ(progress_text("loading m", {40'000'000, 100'000'000, 0.5}),
            "loading m: 40 % of 100 MB, 80 MB/s, 1 s left");
  EXPECT_EQ(progress_text("loading m", {0, 100'000'000, 0}), "loading m: 0 % of 100 MB");
}

/// What a Progress writes while `steps` updates come half a second apart.
std::string written(bool terminal, int steps) {
  std::FILE* file = std::tmpfile();
  ManualClock clock;
  {
    Progress progress("m", file, terminal, clock);
    for (int i = 0; i < steps; ++i) {
      clock.advance(std::chrono::milliseconds(500));
      progress.update(static_cast<uint64_t>(i) + 1, static_cast<uint64_t>(steps));
    }
    progress.finish();
  }
  std::rewind(file);
  std::array<char, 20000> text{};
  const size_t size = std::fread(text.data(), 1, text.size(), file);
  std::fclose(file);
  return {text.data(), size};
}

TEST(Progress, DrawsOneLineOnATerminalAndClearsIt) {
  const std::string text = written(true, 4);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_NE(text.find("\rm  [####"), std::string::npos);
  EXPECT_TRUE(text.ends_with("\r\033[K"));
}

TEST(Progress, WritesALineNowAndThenElsewhere) {
  EXPECT_EQ(
      written(false, 16),
      "m: 37 % of 16 B, 2 B/s, 5 s left\nm: 75 % of 16 B, 2 B/s, 2 s left\nm: 16 B in 8.0 s\n");
}

}  // namespace
}  // namespace pippin::app
