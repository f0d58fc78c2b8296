#include "app/model_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace pippin::app {

Error no_model_named(std::string_view command) {
  return fail(Code::kInvalidArgument,
              fmt::format("{} which model? `pippin list` names them", command), "--");
}

const char* word_of(hub::Source source) {
  switch (source) {
    case hub::Source::kFile:
      return "file";
    case hub::Source::kHuggingFace:
      return "huggingface";
    case hub::Source::kOllama:
      return "ollama";
  }
  return "file";
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  }
}

void write_identity(service::JsonWriter& json, const hub::LocalModel& model) {
  json.field("name", model.name).field("id", model.id);
  json.field("source", word_of(model.source)).field("path", model.path.string());
  json.field("bytes", model.bytes).field("quant", model.quant);
  json.field("modified_unix_s", int64_t{std::chrono::system_clock::to_time_t(model.modified)});
  json.field("revision", model.revision).field("digest", model.digest);
  json.key("aliases").begin_array();
  for (const std::string& alias : model.aliases) json.string(alias);
  json.end_array().key("files").begin_array();
  for (const std::filesystem::path& file : model.files) json.string(file.string());
  json.end_array();
}

}  // namespace pippin::app
