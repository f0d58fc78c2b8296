// respond_page: a page of a list, as `limit`, `after_id` and `before_id` ask for it; and times as
// this API writes them. Thread: any.
#pragma once

#include <fmt/chrono.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/anthropic/errors.h"
#include "api/anthropic/model_route.h"
#include "api/shared/query.h"
#include "service/json.h"

namespace pippin::api::anthropic {

/// Returns "2023-11-14T22:13:20Z".
inline std::string time_text(int64_t unix_s) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(unix_s)));
}

/// Which of `ids` a page holds: [begin, end).
struct Page {
  size_t begin = 0, end = 0;
  bool has_more = false;
};
Result<Page> page_of(std::string_view query, const std::vector<std::string_view>& ids);

/// Answers with the page of `items` that the request asks for. `id` gives an item's id, `write`
/// writes it to a JsonWriter.
template <typename Item, typename Id, typename Write>
void respond_page(Exchange& exchange, const std::vector<Item>& items, Id id, Write write) {
  std::vector<std::string_view> ids;
  for (const Item& item : items) ids.push_back(std::invoke(id, item));
  const Result<Page> page = page_of(exchange.request().query, ids);
  if (!page.ok()) return refuse(exchange, page.error());
  Response response;
  service::JsonWriter json(response.body);
  json.begin_object().key("data").begin_array();
  for (size_t i = page->begin; i < page->end; ++i) write(json, items[i]);
  json.end_array().field("has_more", page->has_more);
  const auto id_or_null = [&](const char* name, size_t at) {
    json.key(name);
    if (page->begin < page->end) {
      json.string(ids[at]);
    } else {
      json.null();
    }
  };
  id_or_null("first_id", page->begin);
  id_or_null("last_id", page->end - 1);
  json.end_object();
  exchange.respond(std::move(response));
}

}  // namespace pippin::api::anthropic
