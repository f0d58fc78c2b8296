#include "service/chat/stop_matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace pippin::service {
namespace {

struct Outcome {
  std::string text;
  bool stopped = false;
  bool operator==(const Outcome&) const = default;
};

// The definition, plainly: the stop that ends first, of those the longest; the text before it.
Outcome by_definition(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (std::string_view(text).substr(0, end).ends_with(stop))
        longest = std::max(longest, stop.size());
    }
    if (longest > 0) return {text.substr(0, end - longest), true};
  }
  return {text, false};
}

// What must still be held back: the longest end of the text that begins a stop string.
size_t must_hold(const std::string& text, const std::vector<std::string>& stops) {
  size_t held = 0;
  for (const std::string& stop : stops) {
    for (size_t n = 1; n < stop.size() && n <= text.size(); ++n) {
      if (text.ends_with(stop.substr(0, n))) held = std::max(held, n);
    }
  }
  return held;
}

Outcome in_pieces(const std::vector<std::string>& pieces, const std::vector<std::string>& stops) {
  StopMatcher matcher(stops);
  Outcome outcome;
  std::string seen;
  for (const std::string& piece : pieces) {
    outcome.text += matcher.push(piece);
    seen += piece;
    if (matcher.stopped()) break;
    EXPECT_EQ(outcome.text.size(), seen.size() - must_hold(seen, stops))
        << "released too little or too much of " << seen;
  }
  outcome.stopped = matcher.stopped();
  outcome.text += matcher.flush();
  return outcome;
}

const std::vector<std::vector<std::string>> kStopSets = {
    {},
    {"b"},
    {"ab"},
    {"aab"},
    {"abab", "ba"},
    {"abc", "bcd", "cde"},
    {"aaaa"},
    {"abcd", "bc"},
    {"\n\n", "\n-"},
    {"<|end|>", "</s>"},
    {"é", "ée"},
    {"aa", "aaa"},
};
const std::vector<std::string> kTexts = {
    "",       "a",         "aaab",          "abababa",  "xabcdex",         "aaaaaaaa",  "zabcdz",
    "x\n\ny", "one\n-two", "a<|en<|end|>b", "café née", "no stops at all", "ababcabab",
};

TEST(StopMatcher, EverySplitPointGivesTheSame) {
  for (const auto& stops : kStopSets) {
    for (const std::string& text : kTexts) {
      const Outcome expected = by_definition(text, stops);
      for (size_t one = 0; one <= text.size(); ++one) {
        for (size_t two = one; two <= text.size(); ++two) {
          const std::vector<std::string> pieces = {text.substr(0, one), text.substr(one, two - one),
                                                   text.substr(two)};
          EXPECT_EQ(in_pieces(pieces, stops), expected)
              << text << " cut at " << one << " and " << two;
        }
      }
    }
  }
}

TEST(StopMatcher, RandomTextsStopsAndPieces) {
  std::mt19937 random(20240817);
  const auto word = [&](size_t least, size_t most) {
    std::string text(least + random() % (most - least + 1), 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops(random() % 4);
    for (std::string& stop : stops) stop = word(1, 6);
    const std::string text = word(0, 40);
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      pieces.push_back(text.substr(at, 1 + random() % 7));
      at += pieces.back().size();
    }
    ASSERT_EQ(in_pieces(pieces, stops), by_definition(text, stops)) << text;
  }
}

TEST(StopMatcher, TakesNothingAfterAStop) {
  StopMatcher matcher({"stop"});
  EXPECT_EQ(matcher.push("go stop"), "go ");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.push("more"), "");
  EXPECT_EQ(matcher.flush(), "");
}

TEST(StopMatcher, LongStopsStayLinear) {
  const std::string stop = std::string(4096, 'a') + "b";
  StopMatcher matcher(std::vector<std::string>(16, stop));
  size_t released = 0;
  for (int i = 0; i < 20'000; ++i) released += matcher.push("a").size();
  EXPECT_EQ(released, 20'000u - 4096u);
}

}  // namespace
}  // namespace pippin::service
