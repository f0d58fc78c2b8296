// Texts: a short list of texts inside a constant row. Thread: any.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <string_view>

#include "base/check.h"

namespace pippin::parse {

class Texts {
 public:
  static constexpr size_t kMax = 10;

  constexpr Texts(std::initializer_list<std::string_view> texts = {}) {
    CHECK(texts.size() <= kMax, "too many texts in a row");
    for (std::string_view text : texts) items_[size_++] = text;
  }

  constexpr const std::string_view* begin() const { return items_.data(); }
  constexpr const std::string_view* end() const { return items_.data() + size_; }
  constexpr size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr std::string_view operator[](size_t i) const { return items_[i]; }
  constexpr bool contains(std::string_view text) const {
    return std::find(begin(), end(), text) != end();
  }

 private:
  std::array<std::string_view, kMax> items_{};
  size_t size_ = 0;
};

}  // namespace pippin::parse
