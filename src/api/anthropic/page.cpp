#include "api/anthropic/page.h"

namespace pippin::api::anthropic {
namespace {

constexpr int kLimitMax = 1000, kLimit = 20;

}  // namespace

Result<Page> page_of(std::string_view text, const std::vector<std::string_view>& ids) {
  Query query(text);
  const auto limit = static_cast<size_t>(query.integer("limit", 1, kLimitMax).value_or(kLimit));
  const auto place_of = [&](std::string_view field) -> std::optional<size_t> {
    const std::optional<std::string_view> id = query.text(field);
    if (!id) return std::nullopt;
    const auto found = std::ranges::find(ids, *id);
    if (found != ids.end()) return static_cast<size_t>(found - ids.begin());
    query.wrong(field, "Invalid '" + std::string(field) + "': nothing has this id.");
    return std::nullopt;
  };
  const std::optional<size_t> after = place_of("after_id"), before = place_of("before_id");
  if (query.error()) return error_of(*query.error());
  if (before) {
    const size_t begin = *before - std::min(limit, *before);
    return Page{begin, *before, begin > 0};
  }
  const size_t begin = after ? *after + 1 : 0, end = std::min(begin + limit, ids.size());
  return Page{begin, end, end < ids.size()};
}

}  // namespace pippin::api::anthropic
