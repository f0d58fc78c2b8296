#include "service/models/gguf_tokenizer.h"

#include <fmt/format.h>

#include <boost/json/value_to.hpp>

#include "base/json_read.h"
#include "service/models/load_tokenizer.h"

namespace pippin::service {
namespace {

namespace json = boost::json;

/// Copies fields of textkit's object, which has all of them.
class Keys {
 public:
  explicit Keys(const json::object& vocabulary) : vocabulary_(vocabulary) {}

  void add_text(std::string_view name) { add(name, std::string_view(value(name).as_string())); }
  template <typename T>
  void add_list(std::string_view name, std::string_view field) {
    const auto values = json::value_to<std::vector<T>>(value(field));
    if (!values.empty()) add(name, std::span<const T>(values));
  }
  void add_flag(std::string_view name, std::string_view field) {
    if (value(field).is_bool()) add(name, value(field).as_bool());
  }
  void add_token(std::string_view name, std::optional<int64_t> token) {
    if (token) add(fmt::format("{}_token_id", name), static_cast<uint32_t>(*token));
  }
  std::optional<int64_t> token(std::string_view field) const {
    return value(field).is_null() ? std::nullopt
                                  : std::optional(json::value_to<int64_t>(value(field)));
  }
  store::GgufMetadata take() { return std::move(keys_); }

 private:
  const json::value& value(std::string_view field) const { return vocabulary_.at(field); }
  template <typename T>
  void add(std::string_view name, const T& value) {
    keys_.add(fmt::format("tokenizer.ggml.{}", name), value);
  }

  const json::object& vocabulary_;
  store::GgufMetadata keys_;
};

// Files have three names for tokens that end an answer.
void add_ends(Keys& keys, const std::vector<int64_t>& named, int vocab,
              std::vector<std::string>& notes) {
  constexpr const char* kNames[] = {"eos", "eot", "eom"};
  std::vector<int64_t> ends;
  const std::optional<int64_t> eos = keys.token("eos");
  if (eos) ends.push_back(*eos);
  for (const int64_t id : named)
    if (id >= 0 && id < vocab && id != eos) ends.push_back(id);
  for (size_t i = 0; i < std::min(ends.size(), std::size(kNames)); ++i)
    keys.add_token(kNames[i], ends[i]);
  if (ends.size() > std::size(kNames))
    notes.push_back(fmt::format("{} tokens end an answer, and GGUF files name three", ends.size()));
}

}  // namespace

Result<GgufTokenizer> gguf_tokenizer(const store::HfFolder& folder) {
  const int vocab = folder.config().vocab_size;
  ASSIGN_OR_RETURN(const store::HfTokenizerFiles files, folder.tokenizer());
  ASSIGN_OR_RETURN(const std::string told,
                   text::gguf_vocabulary_of(files.json, tokenizer_config(files, vocab)));
  ASSIGN_OR_RETURN(const json::object vocabulary, parse_object(told, "the vocabulary"));
  GgufTokenizer result;
  result.notes = json::value_to<std::vector<std::string>>(vocabulary.at("notes"));
  Keys keys(vocabulary);
  keys.add_text("model");
  keys.add_text("pre");
  keys.add_list<std::string>("tokens", "tokens");
  keys.add_list<float>("scores", "scores");
  keys.add_list<int32_t>("token_type", "token_types");
  keys.add_list<std::string>("merges", "merges");
  keys.add_token("bos", keys.token("bos"));
  add_ends(keys, files.end_ids, vocab, result.notes);
  keys.add_token("unknown", keys.token("unknown"));
  keys.add_flag("add_bos_token", "add_bos");
  keys.add_flag("add_eos_token", "add_eos");
  keys.add_flag("add_space_prefix", "add_space_prefix");
  result.keys = keys.take();
  ASSIGN_OR_RETURN(const std::string chat_template, folder.chat_template());
  if (!chat_template.empty())
    result.keys.add("tokenizer.chat_template", std::string_view(chat_template));
  return result;
}

}  // namespace pippin::service
