EXAMPLE = "lambda_stream"


def test_the_head_comes_first_and_ten_pieces_follow(invoke):
    answer = invoke()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.body.decode().splitlines()
    assert [line.split(",")[0] for line in lines] == [f"piece {n} of 10" for n in range(1, 11)]


def test_the_pieces_arrive_as_they_are_made(invoke):
    answer = invoke()
    assert len(answer.pieces) == 10
    assert answer.arrivals[0] < 1.0 < answer.arrivals[-1]
    assert answer.arrivals[-1] - answer.arrivals[0] > 1.0, "the pieces came at once"
