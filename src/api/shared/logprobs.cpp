#include "api/shared/logprobs.h"

#include <cstdint>

namespace pippin::api {
namespace {

using service::JsonWriter;

void write_token(JsonWriter& json, const service::TokenLogprob& token, bool with_id) {
  if (with_id) json.field("id", token.token);
  json.field("token", token.bytes).key("logprob").number(token.logprob);
  json.key("bytes").begin_array();
  for (const char byte : token.bytes) json.integer(int64_t{static_cast<unsigned char>(byte)});
  json.end_array();
}

}  // namespace

void write_logprobs(JsonWriter& json, const std::vector<service::ScoredToken>& tokens,
                    bool with_ids) {
  json.begin_array();
  for (const service::ScoredToken& token : tokens) {
    json.begin_object();
    write_token(json, token.chosen, with_ids);
    json.key("top_logprobs").begin_array();
    for (const service::TokenLogprob& other : token.top) {
      json.begin_object();
      write_token(json, other, with_ids);
      json.end_object();
    }
    json.end_array().end_object();
  }
  json.end_array();
}

}  // namespace pippin::api
