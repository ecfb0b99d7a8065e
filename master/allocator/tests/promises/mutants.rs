//! Each promise's judge catches the fault it is for.
