// Python's keyword arguments: city='Paris', days=[1, 2], strict=True)
#include <optional>

#include "parse/json_text.h"
#include "parse/value_reader.h"

namespace pippin::parse {
namespace {

class KeywordReader final : public ArgumentReader {
 public:
  Status read(std::string_view in, bool last, size_t& consumed, std::string& out) override {
    consumed = 0;
    if (!opened_) out += '{';
    opened_ = true;
    for (;;) {
      if (value_) {
        size_t used = 0;
        const Status status = value_->read(in.substr(consumed), last, used, out);
        consumed += used;
        if (status != Status::kDone) return status;
        value_.reset();
        after_value_ = true;
      }
      Cursor between(in.substr(consumed), last);
      const bool end = read_between(between, out);
      if (between.state() == Cursor::State::kMore) return Status::kMore;
      if (!between.reading())
        return last && trim(in.substr(consumed)).empty() ? Status::kMore : Status::kBroken;
      consumed += between.at();
      if (end) return Status::kDone;
    }
  }

  bool close(std::string& out) override {
    if (value_ && !value_->close(out)) return false;
    if (!value_ && !after_value_) return false;
    out += '}';
    return true;
  }

 private:
  // Takes what leads to the next value, or the end; returns whether it was the end.
  bool read_between(Cursor& in, std::string& out) {
    in.space();
    if (after_value_ && in.accept(",")) in.space();
    if (in.accept(")")) {
      out += '}';
      return true;
    }
    const std::string name =
        in.peek() == '"' || in.peek() == '\'' ? take_string(in) : std::string(in.word());
    in.space();
    if (!in.accept("=")) in.expect(":");
    in.space();
    if (!in.reading()) return false;
    if (after_value_) out += ", ";
    out += quoted(name) + ": ";
    after_value_ = false;
    value_.emplace();
    return false;
  }

  bool opened_ = false;
  bool after_value_ = false;
  std::optional<ValueReader> value_;
};

}  // namespace

std::unique_ptr<ArgumentReader> keyword_reader() { return std::make_unique<KeywordReader>(); }

}  // namespace pippin::parse
