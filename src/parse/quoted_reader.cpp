// Arguments that stand in a JSON string, as in OpenAI's own messages, which some models imitate.
#include "parse/json_text.h"
#include "parse/value_reader.h"

namespace pippin::parse {
namespace {

class QuotedReader final : public ArgumentReader {
 public:
  Status read(std::string_view in, bool last, size_t& consumed, std::string& out) override {
    consumed = 0;
    while (consumed < in.size()) {
      if (in[consumed] == '"') return finish(consumed, out);
      const size_t bytes = unit(in.substr(consumed), last);
      if (bytes == 0) return Status::kMore;
      text_ += unquoted('"' + std::string(in.substr(consumed, bytes)) + '"');
      if (Status status = drain(false, out); status == Status::kBroken) return status;
      consumed += bytes;
    }
    return Status::kMore;
  }

  bool close(std::string& out) override { return inner_.close(out); }

 private:
  // Bytes of the first character or escape; a pair of surrogates stays together. 0: not yet whole.
  static size_t unit(std::string_view in, bool last) {
    if (in[0] != '\\') return 1;
    if (in.size() < 2) return 0;
    if (in[1] != 'u') return 2;
    const auto hex = [](std::string_view digits) {
      return digits.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
    };
    if (!hex(in.substr(2, 4))) return 2;
    if (in.size() < 6) return last ? 2 : 0;
    const bool high = (in[2] == 'd' || in[2] == 'D') && std::string_view("89abAB").find(in[3]) < 6;
    if (!high) return 6;
    const std::string_view next = in.substr(6, 6);
    const std::string_view slash = next.substr(0, 2);
    if (!std::string_view("\\u").starts_with(slash) || !hex(next.substr(slash.size()))) return 6;
    if (next.size() < 6) return last ? 6 : 0;
    return 12;
  }

  Status drain(bool last, std::string& out) {
    if (done_) {
      const bool blank = trim(text_).empty();
      text_.clear();
      return blank ? Status::kDone : Status::kBroken;
    }
    size_t used = 0;
    const Status status = inner_.read(text_, last, used, out);
    text_.erase(0, used);
    if (status != Status::kDone) return status;
    done_ = true;
    return drain(last, out);
  }

  Status finish(size_t& consumed, std::string& out) {
    const Status status = drain(true, out);
    if (status != Status::kDone) return Status::kBroken;
    ++consumed;
    return status;
  }

  ValueReader inner_;
  std::string text_;  // unquoted, but not yet read
  bool done_ = false;
};

}  // namespace

std::unique_ptr<ArgumentReader> quoted_reader() { return std::make_unique<QuotedReader>(); }

}  // namespace pippin::parse
