#include "text/grammar.h"

#include <utility>

#include "text/textkit_support.h"

#if defined(__linux__)
#include <unistd.h>
#endif

namespace pippin::text {
namespace {

using textkit::Buffer;
using textkit::slice;

tk_vocabulary* vocabulary_of(void* handle) { return static_cast<tk_vocabulary*>(handle); }
tk_grammar* grammar_of(void* handle) { return static_cast<tk_grammar*>(handle); }
tk_matcher* matcher_of(void* handle) { return static_cast<tk_matcher*>(handle); }

std::vector<uint32_t> ids_of(std::span<const Token> tokens) {
  return std::vector<uint32_t>(tokens.begin(), tokens.end());
}

Error grammar_error(tk_status status, const Buffer& message) {
  Code code = Code::kInternal;
  if (status == TK_INVALID || status == TK_UNSUPPORTED) code = Code::kInvalidArgument;
  if (status == TK_LIMIT) code = Code::kTooLarge;
  return fail(code, std::string(message.view()));
}

Error no_memory() { return fail(Code::kTooLarge, "the grammar: there is no memory for it"); }

// Lets the threads that read the weights, and then the first prompts, go first: on few CPUs this
// one would take a third of their time. Linux counts niceness by thread, others by process.
void yield_to_others() {
#if defined(__linux__)
  constexpr int kNicer = 10;
  static_cast<void>(nice(kNicer) == -1);  // where it is refused, all works on
#endif
}

}  // namespace

GrammarVocabulary::GrammarVocabulary(std::shared_ptr<const Tokenizer> tokenizer,
                                     std::vector<Token> ends)
    : tokenizer_(std::move(tokenizer)), ends_(std::move(ends)) {}

GrammarVocabulary::~GrammarVocabulary() {
  preparing_.join();
  tk_vocabulary_free(vocabulary_of(handle_));
}

const std::vector<uint32_t>& GrammarVocabulary::reaching_past_heads() const {
  std::call_once(reaching_once_, [this] {
    const auto size = static_cast<size_t>(tokenizer_->vocab_size());
    reaching_.resize((size + 31) / 32);
    for (size_t token = 0; token < size; ++token) {
      const std::string bytes = tokenizer_->token_bytes(static_cast<Token>(token), false);
      const size_t end = bytes.find_first_of(":(");
      if (end != std::string::npos &&
          bytes.find_first_not_of(" \t\r\n", end + 1) != std::string::npos)
        reaching_[token / 32] |= 1u << (token % 32);
    }
  });
  return reaching_;
}

void GrammarVocabulary::prepare_ahead() {
  Result<Thread> preparing = Thread::start("[grammar]", [this] {
    yield_to_others();
    static_cast<void>(prepare());  // an error is kept for those who ask
  });
  // Without a thread, or where it throws, the first use prepares.
  if (preparing.ok()) preparing_ = *std::move(preparing);
}

Result<void> GrammarVocabulary::prepare() const {
  std::call_once(once_, [this] {
    const std::vector<uint32_t> ends = ids_of(ends_);
    tk_vocabulary* handle = nullptr;
    Buffer error;
    const tk_status status =
        tk_vocabulary_new(static_cast<const tk_tokenizer*>(tokenizer_->handle()), ends.data(),
                          ends.size(), &handle, error.out());
    if (status != TK_OK) error_ = textkit::error_of(status, error, Code::kInternal);
    handle_ = handle;
  });
  if (error_) return *error_;
  return {};
}

Matcher::Matcher(std::shared_ptr<const GrammarVocabulary> vocabulary, void* handle)
    : vocabulary_(std::move(vocabulary)), handle_(handle) {}

Matcher::~Matcher() { tk_matcher_free(matcher_of(handle_)); }

Result<void> Matcher::fill_mask(std::vector<uint32_t>& mask) {
  if (handle_ == nullptr) return no_memory();
  mask.resize((static_cast<size_t>(vocabulary_->tokenizer().vocab_size()) + 31) / 32);
  Buffer error;
  const tk_status status =
      tk_matcher_fill_mask(matcher_of(handle_), mask.data(), mask.size(), error.out());
  if (status != TK_OK) return grammar_error(status, error);
  return {};
}

Result<void> Matcher::accept(std::span<const Token> tokens) {
  if (handle_ == nullptr) return no_memory();
  const std::vector<uint32_t> ids = ids_of(tokens);
  Buffer error;
  const tk_status status =
      tk_matcher_accept(matcher_of(handle_), ids.data(), ids.size(), error.out());
  if (status != TK_OK) return grammar_error(status, error);
  return {};
}

std::vector<Token> Matcher::forced() {
  if (handle_ == nullptr) return {};
  const tk_ids ids = tk_matcher_forced(matcher_of(handle_));
  std::vector<Token> tokens(ids.data, ids.data + ids.len);
  tk_ids_free(ids);
  return tokens;
}

bool Matcher::is_accepting() {
  return handle_ != nullptr && tk_matcher_is_accepting(matcher_of(handle_));
}
bool Matcher::is_complete() const {
  return handle_ != nullptr && tk_matcher_is_complete(matcher_of(handle_));
}

Grammar::Grammar(std::shared_ptr<const GrammarVocabulary> vocabulary, void* handle)
    : vocabulary_(std::move(vocabulary)), handle_(handle) {}

Grammar::~Grammar() { tk_grammar_free(grammar_of(handle_)); }

Result<std::shared_ptr<const Grammar>> Grammar::compile(
    std::shared_ptr<const GrammarVocabulary> vocabulary, GrammarSyntax syntax,
    std::string_view source) {
  static_assert(static_cast<int>(GrammarSyntax::kJsonSchema) == TK_JSON_SCHEMA);
  static_assert(static_cast<int>(GrammarSyntax::kGbnf) == TK_GBNF);
  RETURN_IF_ERROR(vocabulary->prepare());
  tk_grammar* handle = nullptr;
  Buffer error;
  const tk_status status =
      tk_grammar_compile(vocabulary_of(vocabulary->handle_), static_cast<tk_syntax>(syntax),
                         slice(source), &handle, error.out());
  if (status != TK_OK) return grammar_error(status, error);
  return std::shared_ptr<const Grammar>(new Grammar(std::move(vocabulary), handle));
}

std::unique_ptr<Matcher> Grammar::start() const {
  tk_matcher* matcher = tk_grammar_start(grammar_of(handle_));
  return std::unique_ptr<Matcher>(new Matcher(vocabulary_, matcher));
}

Result<std::string> check_schema(std::string_view schema, bool lenient, std::string_view field) {
  Buffer checked, error;
  const tk_status status =
      tk_schema_check(slice(schema), lenient, slice(field), checked.out(), error.out());
  if (status != TK_OK) {
    Error refused = grammar_error(status, error);
    refused.param = field;
    return refused;
  }
  return std::string(checked.view());
}

Result<std::string> gbnf_to_lark(std::string_view source) {
  Buffer lark, error;
  const tk_status status = tk_gbnf_to_lark(slice(source), lark.out(), error.out());
  if (status != TK_OK) return grammar_error(status, error);
  return std::string(lark.view());
}

Result<std::string> lark_in_json(std::string_view source) {
  Buffer lark, error;
  const tk_status status = tk_lark_in_json(slice(source), lark.out(), error.out());
  if (status != TK_OK) return grammar_error(status, error);
  return std::string(lark.view());
}

}  // namespace pippin::text
