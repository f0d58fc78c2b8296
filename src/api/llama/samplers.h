// Samplers by llama-server's names, and its defaults. Thread: any.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "service/json.h"
#include "service/request.h"

namespace pippin::api::llama {

/// Returns the names of all samplers, in the order in which they work here.
std::vector<std::string> sampler_names();
/// Returns the name that is meant ("typical_p" is "typ_p"), or nothing for an unknown one.
std::optional<std::string> sampler_name(std::string_view name);
/// Turns off all samplers that are not named.
void keep_samplers(const std::vector<std::string>& names, engine::SamplingParams& sampling);

/// Fills in llama-server's own defaults where neither the model's file nor the request says
/// anything; `said` tells whether the request has a field.
void fill_defaults(engine::SamplingParams& sampling,
                   const std::function<bool(const char* field)>& said);

/// Writes how tokens are chosen, as "generation_settings" and /props have it, without the brackets.
void write_settings(service::JsonWriter& json, const service::Request& request,
                    const std::vector<std::string>& samplers);

}  // namespace pippin::api::llama
