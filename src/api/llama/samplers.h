// Samplers by llama-server's names, and its defaults. Thread: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "service/chat/request.h"
#include "service/json.h"

namespace pippin::api::llama {

/// Returns the names of all samplers, in the order in which they work here.
std::vector<std::string> sampler_names();
/// Returns the name that is meant ("typical_p" is "typ_p"), or nothing for an unknown one.
std::optional<std::string> sampler_name(std::string_view name);
/// Turns off all samplers that are not named.
void keep_samplers(const std::vector<std::string>& names, engine::SamplingParams& sampling);

/// How far back the repetition penalty looks where a request does not say. The other defaults are
/// the model's, the same on every API. Source: llama-server's repeat_last_n.
constexpr int kPenaltyLastN = 64;

/// Writes how tokens are chosen, as "generation_settings" and /props have it, without the brackets.
void write_settings(service::JsonWriter& json, const service::Request& request,
                    const std::vector<std::string>& samplers);

}  // namespace pippin::api::llama
