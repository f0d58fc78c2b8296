// Reads the fields that chats, text completions and responses share, beside sampling.
// Thread: any.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "api/shared/field_reader.h"
#include "api/shared/sampling.h"
#include "base/clock.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::api::openai {

struct StreamOptions {
  bool stream = false;
  bool include_usage = false;  // a last chunk with the usage, and "usage":null in the others
  bool usage_so_far = false;   // the usage so far in every chunk
};

/// n, max_tokens (from `limit_min`), min_tokens, stop, stop_token_ids, ignore_eos, seed,
/// cache_salt, priority, and the grammars of read_guides().
void read_limits(FieldReader& reader, const service::Model& model, int limit_min,
                 service::Request& request);
StreamOptions read_stream(FieldReader& reader);

/// Returns when the time is over that `timeout` gives the request from now on.
std::optional<TimePoint> read_deadline(FieldReader& reader);

/// service_tier, which sets the request's place in the queue where `priority` does not. Returns
/// the tier as answers tell it; empty if none was asked for.
std::string_view read_tier(FieldReader& reader, service::Request& request);

/// Reads a message's `role`, one of `allowed`.
std::optional<service::Role> read_role(FieldReader& message,
                                       std::initializer_list<std::string_view> allowed);

/// Takes out the tools that the choice rules out: a model does not call what it is not shown. Where
/// a call is forced all stay, and a grammar does the rest.
void hide_tools(const service::ToolChoice& choice, std::vector<service::Tool>& tools);

/// Checks what has no effect here: user, safety_identifier, prompt_cache_key,
/// prompt_cache_retention and metadata.
void read_labels(FieldReader& reader);

/// A field that this server understands but cannot honour: refused by name, since to ignore it
/// would change the answer's meaning.
struct RefusedField {
  std::string_view name;
  std::string_view why;
};
/// Reports a refused field that is there, unless it asks for nothing (null, false, an empty array
/// or object).
void refuse(FieldReader& reader, std::span<const RefusedField> fields);
/// The refused fields that both routes share.
std::span<const RefusedField> common_refused_fields();

}  // namespace pippin::api::openai
