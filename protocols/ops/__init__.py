"""Operations on secrets, written once for every suite."""
